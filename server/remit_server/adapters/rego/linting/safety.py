"""Lints for what the embedded engine sees only when it comes to evaluate the rule, and OPA when it compiles it."""

from collections.abc import Iterator, Sequence
from typing import Any

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.checks import BUILTINS
from remit_server.adapters.rego.linting.modules import Definition, Module
from remit_server.adapters.rego.syntax import Node, nodes, source_of, variables


def safety_findings(modules: Sequence[Module]) -> Iterator[Finding]:
    """Yields defaults that are not constant, and heads without a body that name what nothing binds."""
    every = [definition for module in modules for definition in module.definitions]
    for module in modules:
        owned = {
            one.path.removeprefix(f"{module.package}.").partition(".")[0]
            for one in every
            if one.path.startswith(f"{module.package}.")
        }
        known = {"input", "data", "_", *module.aliases, *owned, *(name.partition(".")[0] for name in BUILTINS)}
        for definition in module.definitions:
            if definition.kind == "default":
                yield from _default(definition)
            elif not definition.is_conditional:
                yield from _head(definition, module, known)


def _default(definition: Definition) -> Iterator[Finding]:
    """Yields a default that depends on something."""
    if any("Var" in node or "Call" in node for node in nodes(definition.head)):
        problem = "a default is a constant, and this one depends on something"
        mend = "Write the constant, and a rule for the rest"
        yield Finding(definition.file, definition.line, problem, mend, "rego-compile")


def _head(definition: Definition, module: Module, known: set[str]) -> Iterator[Finding]:
    """Yields the first name in a head that nothing binds."""
    bound = known | set(_bound(definition, module.contents))
    for name in variables(definition.head):
        if name not in bound:
            problem = f"the variable {name} is unsafe: nothing gives it a value"
            mend = "Bind it in a body, or correct the name"
            yield Finding(definition.file, definition.line, problem, mend, "rego-compile")
            return


def _bound(definition: Definition, contents: bytes) -> Iterator[str]:
    """Yields every name that may be given a value anywhere in a definition; doubt is a yes."""
    yield from variables(list(definition.arguments))
    for node in nodes(definition.head):
        if "AssignExpr" in node:
            yield from variables([node["AssignExpr"]["lhs"], node["AssignExpr"]["rhs"]])
        elif "SomeIn" in node:
            yield from variables([node["SomeIn"]["key"], node["SomeIn"]["value"]])
        elif "RefBrack" in node:
            yield from variables(node["RefBrack"]["index"])
        else:
            yield from (source_of(contents, span) for span in _spans(node))


def _spans(node: Node) -> list[Any]:
    """Returns the spans of the names that `some` or `every` declare."""
    if "SomeVars" in node:
        return list(node["SomeVars"].get("vars", []))
    if "Every" in node:
        return [span for span in (node["Every"]["key"], node["Every"]["value"]) if span]
    return []
