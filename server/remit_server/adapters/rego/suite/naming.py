"""What names in a bundle's modules mean, and the edits by which `with` replaces what it replaces in OPA.

The engine replaces a function only where it is called by its full path, and evaluates a whole package for a rule that
is reached through the package's import. Both would change verdicts, so names are written out where it matters: in
tests always, in rules only for functions that some test replaces.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.checks import BUILTINS
from remit_server.adapters.rego.suite.tree import (
    Edit,
    Module,
    Node,
    Place,
    dotted,
    root_of,
)

_DOCUMENTS: Final = frozenset({"data", "input"})


@dataclass(frozen=True, slots=True)
class Names:
    """What the modules of a bundle define, and which functions some `with` replaces.

    `owned` holds every path of a rule and every path it leads through, `functions` the arguments that each one takes.
    """

    owned: frozenset[str]
    functions: dict[str, int]
    replaced: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Use:
    """One reference in a rule: its node, as it is written, whether it is called, what it means."""

    node: Node
    written: str
    called: bool
    meaning: str


def names_of(modules: Sequence[Module]) -> Names:
    """Returns what the modules define and replace."""
    owned: set[str] = set()
    functions: dict[str, int] = {}
    for module in modules:
        for rule in module.rules:
            path = f"{module.package}.{dotted(rule.head['refr'])}"
            owned.update(path.rsplit(".", cut)[0] for cut in range(path.count(".") + 1))
            if rule.arguments is not None:
                functions[path] = rule.arguments
    known = Names(frozenset(owned), functions, frozenset())
    replaced = (
        meaning_of(module, rule.bound, dotted(target), known, called=True)
        for module in modules
        for rule in module.rules
        for target, _ in rule.replacements
    )
    return Names(known.owned, functions, frozenset(replaced))


def meaning_of(module: Module, bound: frozenset[str], name: str, names: Names, *, called: bool) -> str:
    """Returns the full path of what a name in a module means: its imports and its own rules come before a builtin."""
    first, dot, rest = name.partition(".")
    if first in module.imports and first not in bound:
        return f"{module.imports[first]}{dot}{rest}"
    if f"{module.package}.{first}" in names.owned and (called or first not in bound):
        return f"{module.package}.{name}"
    return name


def naming_edits(module: Module, names: Names, *, in_full: bool) -> Iterator[Edit]:
    """Yields the edits that write names out; `in_full` writes out every import of data, as in tests."""
    for rule in module.rules:
        targets = {id(target) for target, _ in rule.replacements}
        for node, called in rule.uses:
            root = root_of(node)
            written = dotted(node)
            if not written or written.partition(".")[0] in _DOCUMENTS:
                continue
            is_function = called or id(node) in targets
            use = _Use(node, written, is_function, meaning_of(module, rule.bound, written, names, called=is_function))
            if _is_written_out(module, use, names, is_target=id(node) in targets, in_full=in_full):
                first = written.partition(".")[0]
                prefix = use.meaning.removesuffix(written.removeprefix(first))
                span = root["span"]
                yield Edit(Place(span["start"], span["end"]), prefix)


def _is_written_out(module: Module, use: _Use, names: Names, *, is_target: bool, in_full: bool) -> bool:
    """Says whether the engine must be told a name's meaning."""
    if use.meaning == use.written or not use.meaning.startswith("data."):
        return False
    if in_full and use.written.partition(".")[0] in module.imports:
        return True
    # A function of the bundle that is called like a builtin must stay itself where that builtin is replaced.
    return is_target or (use.called and (use.meaning in names.replaced or use.written in names.replaced))


def replacement_findings(module: Module, names: Names) -> Iterator[Finding]:
    """Yields a finding for each `with` that the engine would not take as OPA does."""
    for rule in module.rules:
        for target, value in rule.replacements:
            line = int(root_of(target).get("span", {"line": rule.line})["line"])
            meaning = meaning_of(module, rule.bound, dotted(target), names, called=True)
            if meaning.partition(".")[0] not in _DOCUMENTS and meaning not in BUILTINS:
                problem = (
                    f"with replaces {meaning or 'something'}, which is no input, no data and no function known here"
                )
                yield Finding(module.path, line, problem, "Correct the name")
            yield from _stand_in_findings(module, names, rule.bound, line, (meaning, value))


def _stand_in_findings(
    module: Module, names: Names, bound: frozenset[str], line: int, replacement: tuple[str, Node]
) -> Iterator[Finding]:
    """Yields a finding for a function that cannot stand in for another one."""
    target, value = replacement
    if "Var" not in value and "RefDot" not in value:
        return
    stand_in = meaning_of(module, bound, dotted(value), names, called=False)
    first = stand_in.partition(".")[0]
    if stand_in in BUILTINS and first not in bound:
        mend = f"Write a function of your own that calls {stand_in}, and name that one"
        yield Finding(module.path, line, f"the builtin {stand_in} cannot stand in for another function here", mend)
        return
    wanted, given = names.functions.get(target), names.functions.get(stand_in)
    if wanted is not None and given is not None and wanted != given:
        problem = f"{target} takes {wanted} arguments, and {stand_in}, which replaces it, takes {given}"
        yield Finding(module.path, line, problem, "Give both the same arguments")
