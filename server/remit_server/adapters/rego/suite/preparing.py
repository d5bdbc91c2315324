"""Finds the tests in a bundle's modules, and rewrites the modules so that the engine runs them as OPA would.

Each line keeps its number. In tests, imports are written out (`naming.py`); of tests that share a name each gets one of
its own; and a test with cases (`test_x[case] if ...`) tells which cases it met before it judges them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import is_test
from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.suite.naming import Names, naming_edits, replacement_findings
from remit_server.adapters.rego.suite.probes import probe_edits, probe_modules
from remit_server.adapters.rego.suite.tree import (
    Edit,
    Module,
    Node,
    Place,
    Rule,
    edited,
    indexes,
    module_of,
    place,
    variables,
)

TEST_PREFIX: Final = "test_"
TODO_PREFIX: Final = "todo_test_"
CASE: Final = "remit_test.case"

# How a test is judged: by its value (of a plain rule, or of one with keys or parts), by its cases, not at all yet, or
# never, because it is a function.
VALUE: Final = "value"
PARTS: Final = "parts"
CASES: Final = "cases"
TODO: Final = "todo"
FUNCTION: Final = "function"


@dataclass(frozen=True, slots=True)
class Test:
    """One test: its package and name as OPA tells them, what to ask for, where it stands, and how it is judged."""

    package: str
    name: str
    query: str
    path: str
    line: int
    end_line: int
    kind: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """The modules as the engine gets them, the tests in them by file and line, and what is wrong with those."""

    modules: tuple[tuple[str, str], ...]
    tests: tuple[Test, ...]
    findings: tuple[Finding, ...]


def modules_of(trees: Sequence[Mapping[str, Any]]) -> tuple[Module, ...]:
    """Returns the modules of the engine's syntax trees by path."""
    return tuple(sorted((module_of(tree) for tree in trees), key=lambda module: module.path))


def prepared(modules: Sequence[Module], names: Names, *, probed: bool) -> Prepared:
    """Returns a bundle's modules made ready for their tests; `probed` has the entrypoints tell what they answer."""
    tests: list[Test] = []
    taken: dict[str, int] = {}
    texts: list[tuple[str, str]] = []
    for module in modules:
        edits: list[Edit] = []
        for rule in module.rules:
            if rule.name.startswith((TEST_PREFIX, TODO_PREFIX)):
                test, more = _test(module, rule, taken)
                tests.append(test)
                edits += more
        texts.append((module.path, rewritten(module, names, edits, probed=probed)))
    if probed:
        texts += probe_modules(modules)
    findings = tuple(finding for module in modules for finding in replacement_findings(module, names))
    return Prepared(tuple(texts), tuple(tests), findings)


def rewritten(module: Module, names: Names, more: Sequence[Edit] = (), *, probed: bool) -> str:
    """Returns the text of one module as the engine gets it."""
    edits = [*more, *naming_edits(module, names, in_full=is_test(module.path))]
    if probed:
        edits += probe_edits(module)
    return edited(module.contents, edits)


def _test(module: Module, rule: Rule, taken: dict[str, int]) -> tuple[Test, list[Edit]]:
    """Returns one test and the edits that it needs."""
    path = f"{module.package}.{rule.name}"
    before = taken.get(path, 0)
    taken[path] = before + 1
    edits: list[Edit] = []
    name, query = rule.name, path
    if before:
        name, query = f"{rule.name}#{before:02}", f"{path}__remit_{before:02}"
        edits.append(Edit(rule.name_place, f"{rule.name}__remit_{before:02}"))
    kind = VALUE
    if rule.name.startswith(TODO_PREFIX):
        kind = TODO
    elif rule.arguments is not None:
        kind = FUNCTION
    elif case := list(_case_edits(module, rule)):
        kind = CASES
        edits += case
    elif "Var" not in rule.head["refr"]:
        kind = PARTS
    end_line = module.line_of(rule.end - 1)
    return Test(module.package, name, query, module.path, rule.line, end_line, kind), edits


def _case_edits(module: Module, rule: Rule) -> Iterator[Edit]:
    """Yields the edits that tell a test's case as soon as the body has bound it."""
    keys = indexes(rule.head["refr"])
    wanted = variables([key for key in keys if "Var" in key])
    if not wanted or not rule.bodies:
        return
    query = rule.bodies[0]["query"]
    places = [place(statement) for statement in query["stmts"]]
    last = next((one for one in range(len(places)) if wanted <= _mentioned(query["stmts"][: one + 1])), None)
    if last is None:
        return
    told = ", ".join(module.text(place(key)) for key in keys)
    bare = module.contents[query["span"]["start"] : query["span"]["start"] + 1] != b"{"
    yield Edit(Place(places[last].end, places[last].end), f"; {CASE}([{told}]){' }' if bare else ''}")
    if bare:
        yield Edit(Place(places[0].start, places[0].start), "{ ")


def _mentioned(statements: Sequence[Node]) -> set[str]:
    """Returns the variables in these statements, without those that are only declared."""
    return variables([statement for statement in statements if "SomeVars" not in statement["literal"]])
