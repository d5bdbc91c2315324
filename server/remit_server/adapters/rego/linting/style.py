"""Lints about single statements: the mistakes in Rego that make a rule wider, or dead, without looking so.

What Regal calls not-equals-in-loop, constant-condition and unused imports, and what `opa check --strict` refuses, for
authors who have neither.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.linting.modules import Definition, Module
from remit_server.adapters.rego.syntax import Node, nodes, source_of, variables

_CONSTANTS: Final = frozenset({"String", "RawString", "Number", "Bool", "True", "False", "Null"})


def style_findings(module: Module) -> Iterator[Finding]:
    """Yields what stands in one file and hardly is what its author meant."""
    for definition in module.definitions:
        for statement in _conditions(definition):
            yield from _loop_findings(statement, module.file)
            yield from _constant_findings(statement, module.file)
        yield from _unused_variables(definition, module)
    yield from _unused_imports(module)


def _conditions(definition: Definition) -> Iterator[Node]:
    """Yields every expression that stands as a statement of its own, however deep."""
    for node in nodes(definition.text):
        literal = node.get("literal")
        if isinstance(literal, dict) and "Expr" in literal:
            yield literal["Expr"]["expr"]


def _loop_findings(expression: Node, file: str) -> Iterator[Finding]:
    """Yields a comparison by `!=` with every element in turn."""
    compared = expression.get("BoolExpr")
    if compared is None or compared["op"] != "Ne":
        return
    if any(_wildcard(side) for side in (compared["lhs"], compared["rhs"])):
        problem = "`!=` with `[_]` holds as soon as one element differs"
        mend = "Write `not x in collection`, or `every`"
        yield Finding(file, int(compared["span"]["line"]), problem, mend, "not-equals-in-loop")


def _wildcard(expression: Node) -> bool:
    """Says whether a reference steps over all elements by `_`."""
    while True:
        kind, body = next(iter(expression.items()))
        if kind == "RefBrack" and body["index"].get("Var", {}).get("value") == "_":
            return True
        if kind not in {"RefBrack", "RefDot"}:
            return False
        expression = body["refr"]


def _constant_findings(expression: Node, file: str) -> Iterator[Finding]:
    """Yields a condition of constants alone."""
    kind, body = next(iter(expression.items()))
    constant = kind in _CONSTANTS
    if kind == "BoolExpr":
        constant = all(next(iter(side)) in _CONSTANTS for side in (body["lhs"], body["rhs"]))
    if constant:
        problem = "the condition never changes, whatever is asked"
        yield Finding(file, int(body["span"]["line"]), problem, "Take it out, or compare what was meant", _CONSTANT)


_CONSTANT: Final = "constant-condition"


def _unused_imports(module: Module) -> Iterator[Finding]:
    """Yields imports whose name the file never uses."""
    used = {
        name for definition in module.definitions for name in variables([definition.text, list(definition.arguments)])
    }
    for item in module.imports:
        if item.alias not in used and not item.path.startswith("rego."):
            yield Finding(module.file, item.line, f"{item.path} is never used", "Take it out", "unused-import")


def _unused_variables(definition: Definition, module: Module) -> Iterator[Finding]:
    """Yields the names that a rule binds and never uses again; scopes within a rule are not told apart."""
    bound = list(_bound(definition, module.contents))
    uses = Counter(variables([definition.text, list(definition.arguments)]))
    for name, _, is_span in bound:
        if is_span:  # named by a span of text, not by a node that would be counted
            uses[name] += 1
    times = Counter(name for name, _, _ in bound)
    for name, line in dict.fromkeys((name, line) for name, line, _ in bound):
        if not name.startswith("_") and uses[name] <= times[name]:
            problem = f"the variable {name} is never used"
            yield Finding(module.file, line, problem, "Use it, take it out, or write `_`", "unused-variable")


def _bound(definition: Definition, contents: bytes) -> Iterator[tuple[str, int, bool]]:
    """Yields (name, line, named by a span) of what a rule binds by `:=`, `some`, `every`, or as an argument."""
    for argument in definition.arguments:
        yield from _plain(argument)
    for node in nodes(definition.text):
        if "AssignExpr" in node and node["AssignExpr"]["op"] == "ColEq":
            yield from _plain(node["AssignExpr"]["lhs"])
        elif "SomeIn" in node:
            for part in (node["SomeIn"]["key"], node["SomeIn"]["value"]):
                yield from _plain(part)
        elif "SomeVars" in node or "Every" in node:
            yield from ((source_of(contents, span), int(span["line"]), True) for span in _spans(node))


def _plain(part: Any) -> Iterator[tuple[str, int, bool]]:
    """Yields the name when a pattern is one variable; what stands in lists and objects is compared as well as bound."""
    if isinstance(part, dict) and "Var" in part:
        yield str(part["Var"]["value"]), int(part["Var"]["span"]["line"]), False


def _spans(node: Node) -> list[Node]:
    """Returns the spans of the names that `some` or `every` declare."""
    if "SomeVars" in node:
        return list(node["SomeVars"].get("vars", []))
    return [span for span in (node["Every"]["key"], node["Every"]["value"]) if span]
