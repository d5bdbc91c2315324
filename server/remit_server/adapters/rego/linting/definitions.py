"""Lints about how rules are defined: what OPA refuses, and the embedded engine lets pass or fails at later."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.checks import BUILTINS
from remit_server.adapters.rego.linting.modules import Definition, Module
from remit_server.adapters.rego.syntax import dotted, nodes

# How many arguments each builtin takes, where that is not one: `opa capabilities` says the same, a test holds.
ARITIES: Final[Mapping[str, int]] = {
    **dict.fromkeys(BUILTINS - {"print"}, 1),
    **dict.fromkeys(("array.slice", "glob.match", "object.get", "replace", "substring"), 3),
    "time.add_date": 4,
    **dict.fromkeys(
        (
            *("array.concat", "concat", "contains", "endswith", "format_int", "indexof", "net.cidr_contains"),
            *("numbers.range", "object.filter", "object.remove", "object.subset", "object.union", "regex.match"),
            *("split", "sprintf", "startswith", "strings.any_prefix_match", "strings.any_suffix_match"),
            *("strings.count", "time.diff", "trim", "trim_left", "trim_prefix", "trim_right", "trim_suffix"),
        ),
        2,
    ),
}
_KINDS: Final = {"value": "a value", "set": "a set", "function": "a function"}


def definition_findings(modules: Sequence[Module]) -> Iterator[Finding]:
    """Yields what is wrong between the definitions of a bundle."""
    every = [definition for module in modules for definition in module.definitions]
    by_path = {
        path: list(those) for path, those in groupby(sorted(every, key=lambda one: one.path), key=lambda one: one.path)
    }
    for those in by_path.values():
        yield from _default_findings(those)
        yield from _kind_findings(those)
        yield from _missing_default(those)
    arities = {path: {len(one.arguments) for one in those} for path, those in by_path.items()}
    for module in modules:
        yield from _import_clashes(module)
        yield from _shadowing(module)
        yield from _arity_findings(module, arities)


def _default_findings(those: Sequence[Definition]) -> Iterator[Finding]:
    """Yields the second default of a rule."""
    defaults = [one for one in those if one.kind == "default"]
    for one in defaults[1:]:
        first = f"{defaults[0].file}:{defaults[0].line}"
        yield Finding(
            one.file, one.line, f"{_short(one.path)} has a default already, {first}", "Keep one", "duplicate-default"
        )


def _kind_findings(those: Sequence[Definition]) -> Iterator[Finding]:
    """Yields the definitions of a name that are of another kind than its first one."""
    defined = [one for one in those if one.kind != "default"]
    for one in defined[1:]:
        if what := _difference(one, defined[0]):
            problem = f"{_short(one.path)} is defined {what} in {defined[0].file}:{defined[0].line}"
            yield Finding(one.file, one.line, problem, "Give each its own name", "conflicting-rules")


def _difference(one: Definition, first: Definition) -> str:
    """Says how two definitions of a name differ in kind; two with keys may be about different members."""
    if one.is_indexed != first.is_indexed:
        return "by its members here, as a whole" if one.is_indexed else "as a whole here, by its members"
    if one.kind != first.kind and not one.is_indexed:
        return f"as {_KINDS[one.kind]} here, as {_KINDS[first.kind]}"
    if len(one.arguments) != len(first.arguments):
        return f"with {len(one.arguments)} arguments here, with {len(first.arguments)}"
    return ""


def _missing_default(those: Sequence[Definition]) -> Iterator[Finding]:
    """Yields an `allow` that may be undefined."""
    first = those[0]
    if first.path.rpartition(".")[2] != "allow" or any(one.kind != "value" for one in those):
        return
    if all(one.is_conditional for one in those):
        problem = f"{_short(first.path)} is undefined where its conditions do not hold"
        yield Finding(first.file, first.line, problem, "Write `default allow := false`", "missing-default")


def _import_clashes(module: Module) -> Iterator[Finding]:
    """Yields imports that take the name of an earlier one."""
    seen: dict[str, int] = {}
    for item in module.imports:
        if item.alias in seen:
            problem = f"{item.alias} is the name of the import on line {seen[item.alias]} already"
            yield Finding(module.file, item.line, problem, "Name one of them otherwise", "shadowed-import")
        seen.setdefault(item.alias, item.line)


_BUILTIN_WORDS: Final = frozenset(name.partition(".")[0] for name in BUILTINS) | {"http", "json", "rand", "upper"}


def _shadowing(module: Module) -> Iterator[Finding]:
    """Yields rules that have the name of a builtin, once each."""
    seen: set[str] = set()
    for one in module.definitions:
        name = one.path.removeprefix(f"{module.package}.").partition(".")[0]
        if name in _BUILTIN_WORDS and name not in seen:
            seen.add(name)
            problem = f"the rule {name} hides the builtin of that name in this package"
            yield Finding(one.file, one.line, problem, "Give it another name", "shadows-builtin")


def _arity_findings(module: Module, arities: Mapping[str, set[int]]) -> Iterator[Finding]:
    """Yields calls with a number of arguments that the function does not take."""
    for definition in module.definitions:
        for node in nodes(definition.text):
            if "Call" not in node:
                continue
            name, line = dotted(node["Call"]["fcn"])
            given = len(node["Call"]["params"])
            path = resolved(name, module, arities)
            taken = arities.get(path) or ({ARITIES[name]} if name in ARITIES else set())
            # OPA also takes one argument more, into which the outcome is put.
            if taken and given not in taken | {most + 1 for most in taken}:
                wanted = " or ".join(str(count) for count in sorted(taken))
                problem = f"{name} takes {wanted} {'argument' if wanted == '1' else 'arguments'}, and here gets {given}"
                yield Finding(module.file, line, problem, "Call it as it is defined", "wrong-arity")


def resolved(name: str, module: Module, known: Iterable[str]) -> str:
    """Returns the whole path that a name in a file stands for: its import's, or its own package's rule."""
    first, dot, rest = name.partition(".")
    if first in module.aliases:
        return f"{module.aliases[first]}{dot}{rest}"
    own = f"{module.package}.{name}"
    return own if own in known else name


def _short(path: str) -> str:
    """Returns a rule's path without the root of all."""
    return path.removeprefix("data.")
