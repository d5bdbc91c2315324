"""Small mistakes in rules, one by one: what a hurried change could do, to see whether a test would notice."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import is_test
from remit_server.adapters.rego.mutating.polarity import EITHER, NARROWER, WIDER, polarities, rule_path, says_no
from remit_server.adapters.rego.suite.naming import Names
from remit_server.adapters.rego.suite.tree import Module, Node, Place, Rule, nodes, place

WIDENS: Final = "widens"
MAY_WIDEN: Final = "may widen"
NARROWS: Final = "narrows"
REACHES_NOTHING: Final = "reaches no decision"
OTHER_TEXT: Final = '"remit: some other text"'
_SHOWN: Final = 90
_MORE: Final = frozenset({WIDER})
_LESS: Final = frozenset({NARROWER})
# What each comparison is changed to, and whether it then holds more often, less often, or otherwise.
_COMPARISONS: Final[Mapping[str, tuple[str, str, frozenset[int]]]] = {
    "Eq": ("==", "!=", EITHER),
    "Ne": ("!=", "==", EITHER),
    "Lt": ("<", "<=", _MORE),
    "Le": ("<=", "<", _LESS),
    "Gt": (">", ">=", _MORE),
    "Ge": (">=", ">", _LESS),
}
_COMPREHENSIONS: Final = ("ArrayCompr", "SetCompr", "ObjectCompr")


@dataclass(frozen=True, slots=True)
class RuleMutant:
    """One mistake in a rule: where it stands, what was done in words, the text that takes the place's place.

    `effect` is what it could do to what is delegated: widen, narrow, either, or nothing that reaches a decision.
    """

    path: str
    line: int
    what: str
    effect: str
    start: int
    end: int
    text: str


def rule_mutants(modules: Sequence[Module], names: Names) -> Iterator[RuleMutant]:
    """Yields every mutant of the rules by file and place."""
    ways = polarities(modules, names)
    for module in modules:
        if is_test(module.path):
            continue
        for rule in module.rules:
            # A decision that no longer says no says nothing, which is an outage and never a yes.
            pulls = ways.get(rule_path(module, rule), frozenset())
            for spot, text, what, holds in _each_once(_of_rule(module, rule)):
                stays_a_no = says_no(module, rule) and holds != EITHER
                effect = NARROWS if stays_a_no else _effect({pull * one for pull in pulls for one in holds})
                yield RuleMutant(module.path, module.line_of(spot.start), what, effect, spot.start, spot.end, text)


_Change = tuple[Place, str, str, frozenset[int]]


def _each_once(changes: Iterator[_Change]) -> list[_Change]:
    """Returns the changes by place, each one once, with all that it could do."""
    found: dict[tuple[Place, str], tuple[str, frozenset[int]]] = {}
    for spot, text, what, holds in changes:
        first, before = found.get((spot, text), (what, holds))
        found[spot, text] = first, before | holds
    return [(spot, text, what, holds) for (spot, text), (what, holds) in sorted(found.items())]


def _effect(ways: AbstractSet[int]) -> str:
    """Returns in a word what pulling these ways does."""
    return {_MORE: WIDENS, _LESS: NARROWS, EITHER: MAY_WIDEN}.get(frozenset(ways), REACHES_NOTHING)


def _of_rule(module: Module, rule: Rule) -> Iterator[_Change]:
    """Yields the mutants of one rule."""
    head = [value for key, value in rule.head.items() if key not in {"refr", "args"}]
    if rule.bodies and rule.bodies[0]["query"]["stmts"]:
        spot = place(rule.bodies[0]["query"])
        yield spot, "{ false }", f"let {_named(rule)} never hold", _LESS
    yield from _of_values(module, head)
    for body in rule.bodies:
        yield from _of_values(module, body.get("assign"))
        yield from _of_query(module, body["query"], _MORE)
    for node in nodes(head):
        yield from _of_comprehensions(module, node, _MORE)
    for node in nodes([body["query"] for body in rule.bodies]):
        yield from _of_comprehensions(module, node, EITHER)
        yield from _of_comparison(module, node)
        yield from _of_every(module, node)


def _of_comprehensions(module: Module, node: Node, holds: frozenset[int]) -> Iterator[_Change]:
    """Yields the mutants of a comprehension's conditions."""
    for kind in _COMPREHENSIONS:
        if kind in node:
            yield from _of_query(module, node[kind]["query"], holds)


def _of_query(module: Module, query: Node, holds: frozenset[int]) -> Iterator[_Change]:
    """Yields the mutants of each condition: dropped, negated."""
    for statement in query["stmts"]:
        literal = statement["literal"]
        spot = place(statement)
        shown = _shown(module, spot)
        if shown in {"true", "false"} or "SomeVars" in literal or _assigns(literal):
            continue
        yield spot, "true", f"dropped {shown}", holds
        if "NotExpr" in literal:
            inner = place(literal["NotExpr"]["expr"])
            yield Place(spot.start, inner.start), "", f"took the not away from {shown}", EITHER
        elif "Expr" in literal and "BoolExpr" not in literal["Expr"]["expr"]:
            yield Place(spot.start, spot.start), "not ", f"negated {shown}", EITHER
        elif "Every" in literal:
            yield from _of_query(module, literal["Every"]["query"], holds)


def _assigns(literal: Node) -> bool:
    """Says whether a statement gives a variable its value, without which nothing can be evaluated."""
    return "AssignExpr" in literal.get("Expr", {}).get("expr", {})


def _of_comparison(module: Module, node: Node) -> Iterator[_Change]:
    """Yields the mutants of a comparison: another operator, another text."""
    if "Membership" in node:
        yield from _of_text(module, node["Membership"]["value"], node)
    comparison = node.get("BoolExpr")
    if comparison is None or comparison["op"] not in _COMPARISONS:
        return
    yield from _of_text(module, comparison["lhs"], node)
    yield from _of_text(module, comparison["rhs"], node)
    before, after, holds = _COMPARISONS[comparison["op"]]
    gap = Place(place(comparison["lhs"]).end, place(comparison["rhs"]).start)
    found = module.contents[gap.start : gap.end].find(before.encode())
    if found >= 0:
        start = gap.start + found
        what = f"changed {before} to {after} in {_shown(module, place(node))}"
        yield Place(start, start + len(before)), after, what, holds


def _of_text(module: Module, side: Node, whole: Node) -> Iterator[_Change]:
    """Yields the mutant of a text that something is compared with."""
    if "String" in side:
        spot = place(side)
        yield spot, OTHER_TEXT, f"changed {_shown(module, spot)} in {_shown(module, place(whole))}", EITHER


def _of_every(module: Module, node: Node) -> Iterator[_Change]:
    """Yields the mutant of `every`: one is enough."""
    if "Every" not in node:
        return
    spot, query = place(node["Every"]), place(node["Every"]["query"])
    opening = module.contents[spot.start + len("every") : query.start].decode("utf-8")
    conditions = module.contents[query.start + 1 : query.end - 1].decode("utf-8")
    yield spot, f"some{opening}\n{conditions}", f"changed every to some in {_shown(module, spot)}", _MORE


def _of_values(module: Module, root: Any) -> Iterator[_Change]:
    """Yields the mutants of the truth values that a rule gives."""
    for node in nodes(root):
        if "Bool" in node:
            spot = place(node)
            value = bool(node["Bool"]["value"])
            line = module.line_of(spot.start)
            told = module.contents.split(b"\n")[line - 1].decode("utf-8").strip()
            yield spot, str(not value).lower(), f"changed {str(value).lower()} in {_cut(told)}", EITHER


def _named(rule: Rule) -> str:
    """Returns what a rule is called, with its argument list marked."""
    return f"{rule.name}(...)" if rule.arguments is not None else rule.name


def _shown(module: Module, spot: Place) -> str:
    """Returns a piece of the rules in one line."""
    return _cut(" ".join(module.text(spot).split()))


def _cut(text: str) -> str:
    """Returns at most so much of a text as a person reads."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
