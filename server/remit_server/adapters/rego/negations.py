"""Finds negations whose outcome depends on the engine: `not f(x).ok`, `not f(g(x))`, `not f(x) == 1`.

OPA evaluates a call inside a negated expression before it negates, so that the whole condition is undefined where the
call is; the embedded engine takes the negation for true. A reason would refuse on one and let pass on the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.syntax import Node, Rule, dotted, imports_of, nodes, rules_of

_OWN_QUERIES: Final = frozenset({"ArrayCompr", "SetCompr", "ObjectCompr"})
_REFERENCES: Final = frozenset({"RefDot", "RefBrack", "Var"})


def negation_findings(
    trees: Sequence[Mapping[str, Any]], builtins: frozenset[str], owned: frozenset[str]
) -> Iterator[Finding]:
    """Yields a finding for each negation that holds a call which may be undefined.

    `owned` are the paths of the bundle's rules and all that lead to them.
    """
    always = frozenset(_always_defined(trees))
    for tree in trees:
        contents = str(tree["source"]["contents"]).encode("utf-8")
        aliases = dict(imports_of(tree["ast"], contents))
        for rule, node in zip(rules_of(tree), tree["ast"]["rules"], strict=True):
            scope = _Scope(rule, aliases, builtins, owned, always)
            for expression in _negated(node):
                for call in _calls_inside(expression):
                    if not scope.is_defined(call):
                        yield _finding(rule, call)


def _finding(rule: Rule, call: Node) -> Finding:
    """Returns what is told of one call inside a negation."""
    body = call["Call"]
    called = dotted(body["fcn"])[0] or "a function"
    problem = (
        f"a negated expression holds the call {called}(...); where that is undefined, the embedded engine takes the "
        "negation for true and OPA for undefined"
    )
    mend = f"Name the value first: `value := {called}(...)`, then `not` with value; or negate a helper rule"
    return Finding(rule.file, int(body["span"]["line"]), problem, mend, "negated-call")


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the names in a rule mean, and what of that always has a value."""

    rule: Rule
    aliases: Mapping[str, str]
    builtins: frozenset[str]
    owned: frozenset[str]
    always: frozenset[str]

    def is_defined(self, call: Node) -> bool:
        """Says whether a call surely has a value: of a builtin or a function with a default, on what has one."""
        waiting: list[Any] = [call]
        while waiting:
            item = waiting.pop()
            if isinstance(item, list):
                waiting.extend(item)
            elif not isinstance(item, dict):
                continue
            elif "Call" in item:
                name = self._meant(dotted(item["Call"]["fcn"])[0])
                if name not in self.always and name not in self.builtins:
                    return False
                waiting.append(item["Call"]["params"])
            elif _REFERENCES & item.keys():
                if not self._has_value(item):
                    return False
            else:
                waiting.extend(value for key, value in item.items() if key not in _OWN_QUERIES)
        return True

    def _has_value(self, reference: Node) -> bool:
        """Says whether a reference surely has a value: a variable of the rule, the input, a rule that collects."""
        if "Var" in reference:
            name = str(reference["Var"]["value"])
            return name in self.rule.bound or name in {"input", "_"} or self._meant(name) in self.always
        return "RefDot" in reference and self._meant(dotted(reference)[0]) in self.always

    def _meant(self, name: str) -> str:
        """Returns the full path of a name, imports written out; a rule of the own package comes before a builtin."""
        first, dot, rest = name.partition(".")
        if first in self.aliases:
            return f"{self.aliases[first]}{dot}{rest}"
        return f"{self.rule.package}.{name}" if f"{self.rule.package}.{first}" in self.owned else name


def _always_defined(trees: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields the path of each rule that has a default, and of each that collects a set."""
    for tree in trees:
        for rule, node in zip(rules_of(tree), tree["ast"]["rules"], strict=True):
            kind, body = next(iter(node.items()))
            if kind == "Default" or ("Set" in body["head"] and "Var" in body["head"]["Set"]["refr"]):
                yield rule.path


def _negated(rule: Node) -> Iterator[Any]:
    """Yields every expression that is negated anywhere in a rule."""
    for node in nodes(rule):
        if "NotExpr" in node:
            yield node["NotExpr"]["expr"]


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
