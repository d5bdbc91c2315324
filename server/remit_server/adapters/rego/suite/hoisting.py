"""Takes calls out of what tests negate, as OPA does before it evaluates: `not f(x).ok` needs f(x) to have a value.

The engine takes `not` for true also where f(x) is undefined, and a test would pass that OPA fails: one that asks a
decision which is missing altogether. Rules are left as they are: they are tested as they decide.
"""

from collections.abc import Iterator
from typing import Any, Final

from remit_server.adapters.rego.suite.tree import Edit, Module, Node, Place, edited, nodes, place

_OWN_QUERIES: Final = frozenset({"ArrayCompr", "SetCompr", "ObjectCompr"})
_NAME: Final = "remit_hoisted"


def hoisted(module: Module) -> str | None:
    """Returns a module's text with the calls taken out of its outermost negations that hold any, None where none does.

    A negation inside another's call is left for the next round: the text is to be read again.
    """
    edits: list[Edit] = []
    end = 0
    for query, statement in sorted(_negations(module), key=lambda found: place(found[1])):
        spot = place(statement)
        if spot.start >= end and (more := list(_taken_out(module, query, statement))):
            edits += more
            end = spot.end
    return edited(module.contents, edits) if edits else None


def _negations(module: Module) -> Iterator[tuple[Node, Node]]:
    """Yields every statement that negates something, with the query it is in."""
    for rule in module.rules:
        for node in nodes([rule.head, *rule.bodies]):
            for statement in node.get("stmts") or []:
                if "NotExpr" in statement["literal"]:
                    yield node, statement


def _taken_out(module: Module, query: Node, statement: Node) -> Iterator[Edit]:
    """Yields the edits that give each call inside a negated expression a name before it."""
    spot = place(statement)
    expression = statement["literal"]["NotExpr"]["expr"]
    after = module.text(Place(place(expression).end, spot.end)) if statement.get("with_mods") else ""
    before = ""
    for call in _calls_inside(expression):
        inner = place(call)
        name = f"{_NAME}_{inner.start}"
        before += f"{name} := {module.text(inner)}{after}; "
        yield Edit(inner, name)
    if not before:
        return
    bare = _is_bare(module, query, spot)
    yield Edit(Place(spot.start, spot.start), f"{'{ ' if bare else ''}{before}")
    if bare:
        yield Edit(Place(spot.end, spot.end), " }")


def _is_bare(module: Module, query: Node, spot: Place) -> bool:
    """Says whether a body is one expression without braces: `x if not f(y).ok`."""
    before = module.contents[: spot.start].rstrip()
    return len(query["stmts"]) == 1 and before.endswith(b"if") and query["span"]["start"] >= spot.start - 1


def _calls_inside(expression: Any) -> Iterator[Node]:
    """Yields the outermost calls inside an expression that is not one itself; a comprehension keeps its own."""
    call = expression.get("Call")
    waiting: list[Any] = list(call["params"]) if call else [expression]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            if "Call" in item:
                yield item
            else:
                waiting.extend(value for key, value in item.items() if key not in _OWN_QUERIES)
