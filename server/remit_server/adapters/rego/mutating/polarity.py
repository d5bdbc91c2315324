"""Which way a rule pulls: whether more is delegated when it holds more often, less, or either.

Read off the rules, from the entrypoints down: what a yes needs pulls one way, what a no or a reason needs the other,
and `not` and `count(...) == 0` turn it round. A rule that is needed both ways can do either.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import is_test
from remit_server.adapters.rego.suite.naming import Names, meaning_of
from remit_server.adapters.rego.suite.tree import Module, Node, Rule, dotted, nodes, references

WIDER: Final = 1
NARROWER: Final = -1
EITHER: Final = frozenset({WIDER, NARROWER})
_ENTRYPOINTS: Final = ("data.remit.issue.decision", "data.remit.admin.decision")
_EMPTY: Final = frozenset({("Eq", "0"), ("Lt", "1"), ("Le", "0")})


def polarities(modules: Sequence[Module], names: Names) -> Mapping[str, frozenset[int]]:
    """Returns for the path of each rule which ways it pulls; a rule that no decision needs is left out."""
    rules: dict[str, list[tuple[Module, Rule]]] = {}
    for module in modules:
        for rule in module.rules:
            if not is_test(module.path):
                rules.setdefault(rule_path(module, rule), []).append((module, rule))
    found: dict[str, set[int]] = {}
    waiting: list[tuple[str, int]] = [(path, WIDER) for path in _ENTRYPOINTS if path in rules]
    while waiting:
        path, way = waiting.pop()
        if way in found.setdefault(path, set()):
            continue
        found[path].add(way)
        for module, rule in rules[path]:
            own = NARROWER if says_no(module, rule) else way
            for needed, turn in _needed(module, rule, names):
                waiting += [(one, own * turn) for one in _reached(needed, rules)]
    return {path: frozenset(ways) for path, ways in found.items()}


def rule_path(module: Module, rule: Rule) -> str:
    """Returns the path by which a rule is asked for: `data.remit.issue.decision`."""
    return f"{module.package}.{dotted(rule.head['refr'])}"


def says_no(module: Module, rule: Rule) -> bool:
    """Says whether a rule is a decision that writes out `"allow": false`."""
    return rule_path(module, rule) in _ENTRYPOINTS and any(
        field[1]["String"]["value"] == "allow" and field[2].get("Bool", {}).get("value") is False
        for node in nodes(rule.head)
        for field in node.get("Object", {}).get("fields", [])
        if "String" in field[1]
    )


def _needed(module: Module, rule: Rule, names: Names) -> Iterator[tuple[str, int]]:
    """Yields the paths that a rule reads or calls, each with whether it is turned round."""
    turned = {id(node) for part in _turned_parts([rule.head, *rule.bodies]) for node, _ in references(part)}
    for node, called in rule.uses:
        path = meaning_of(module, rule.bound, dotted(node), names, called=called)
        turn = NARROWER if id(node) in turned else WIDER
        yield path, turn


def _turned_parts(root: Any) -> Iterator[Any]:
    """Yields what stands under `not`, or is counted and found empty."""
    for node in nodes(root):
        if "NotExpr" in node:
            yield node["NotExpr"]["expr"]
        elif "BoolExpr" in node and _is_emptiness(node["BoolExpr"]):
            yield node["BoolExpr"]["lhs"]


def _is_emptiness(comparison: Node) -> bool:
    """Says whether a comparison holds where there is nothing: `count(x) == 0`."""
    call = comparison["lhs"].get("Call", {})
    number = comparison["rhs"].get("Number", {}).get("value")
    return dotted(call.get("fcn", {"": {}})) == "count" and (comparison["op"], str(number)) in _EMPTY


def _reached(path: str, rules: Mapping[str, Any]) -> Iterator[str]:
    """Yields the rules that a path names, leads into, or lies above."""
    steps = path.split(".")
    yield from (one for one in (".".join(steps[:size]) for size in range(1, len(steps) + 1)) if one in rules)
    yield from (one for one in rules if one.startswith(f"{path}."))
