"""A small world of concrete requests, made of what the policies at hand say, and plain evaluation on it.

For each way in which the policies' patterns can match there is one action, one resource and one condition value, so
that what holds for all of them holds for all requests. Shares nothing with the gateway's checker. Conditions that
compare texts are evaluated, and whether a key is there is one fact for all that ask for it; any other one may hold or
not by itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import Any

from tests.property import iam_oracle as oracle
from tests.wildcard_walk import walk

Policy = Mapping[str, Any]
MAX_VIEWS = 20_000
_TEXT_OPERATOR = re.compile(r"String(Not)?(Equals|EqualsIgnoreCase|Like)(IfExists)?")
_VIA_SERVICE = "aws:viaawsservice"
_BOUNDS = frozenset({"aws:currenttime", "aws:sourceip", "aws:sourcevpc"})


class TooManyViews(AssertionError):  # noqa: N818 - an outcome of a check
    """The conditions can hold in more ways than are listed."""


@dataclass(frozen=True, slots=True)
class World:
    """One concrete action, resource and view of the conditions for each way in which they can match."""

    actions: Sequence[tuple[str, Mapping[str, bool]]]
    resources: Sequence[str]
    bits: Mapping[str, int]
    views: Sequence["View"]
    labels: frozenset[str]

    @classmethod
    def of(cls, *policies: Policy) -> "World":
        """Lists the world of these policies."""
        statements = [statement for policy in policies for statement in policy["Statement"]]
        actions = list(_actions({text.lower() for one in statements for text in _texts(one, "Action")}))
        names = sorted({text for one in statements for text in _texts(one, "Resource")})
        resources, bits = _resources(names)
        views = list(_views(statements))
        return cls(actions, resources, bits, views, frozenset().union(*(view.held for view in views)))


@dataclass(frozen=True, slots=True)
class View:
    """One context: values of the keys that texts are compared with, and which of the other conditions hold."""

    values: Mapping[str, tuple[str, ...] | None]
    held: frozenset[str]

    def holds(self, statement: Policy) -> bool:
        """Says whether all conditions of the statement hold."""
        return all(self.holds_one(*atom) for atom in oracle.atoms(statement))

    def holds_one(self, operator: str, key: str, values: tuple[str, ...]) -> bool:
        """Says whether one condition holds."""
        if not _compares_texts(operator):
            return _label(operator, key, values) in self.held
        policy = {"Condition": {operator: {"key": list(values)}}}
        present = self.values.get(key.lower())
        return oracle.concrete({"key": present} if present is not None else {})(policy)

    def is_direct(self, labels: frozenset[str]) -> bool:
        """Says whether it is a direct call, before the end and from inside every bound network.

        `labels` are the conditions that occur.
        """
        direct = {label for label in labels if label.endswith(f" {_VIA_SERVICE} ['false']")}
        return direct <= self.held and not any(label.split(" ")[1] in _BOUNDS for label in self.held)


def _compares_texts(operator: str) -> bool:
    return _TEXT_OPERATOR.fullmatch(operator.rpartition(":")[2]) is not None


def _label(operator: str, key: str, values: Sequence[str]) -> str:
    return f"{operator.lower()} {key.lower()} {sorted(values)}"


def _texts(statement: Policy, element: str) -> tuple[str, ...]:
    return oracle.listed(statement.get(element, statement.get(f"Not{element}", ())))


def _actions(patterns: AbstractSet[str]) -> Iterator[tuple[str, dict[str, bool]]]:
    """Yields concrete actions, each with the patterns it matches; one is of a service that no pattern names."""
    split = {tuple(pattern.split(":")) for pattern in patterns if pattern != "*"}
    nothing = {**dict.fromkeys(patterns, False), "*": True}
    yield "unnamed:action", nothing
    for service in sorted({service for service, _ in split}):
        names = tuple(sorted(name for own, name in split if own == service))
        for text, matches in walk(names):
            hits = {f"{service}:{name}": hit for name, hit in zip(names, matches, strict=True)}
            yield f"{service}:{text}", {**nothing, **hits}


def _resources(patterns: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Returns concrete resources, and for each pattern the set of those it matches; six segments, each by itself."""
    split = [tuple(pattern.split(":", 5)) for pattern in patterns if pattern != "*"]
    *heads, names = [_segment(tuple(sorted({one[at] for one in split}))) for at in range(6)]
    alive: dict[tuple[tuple[str, ...], ...], str] = {}
    for chosen in product(*heads):
        lead = ":".join(text for text, _ in chosen)
        hit = (one for one in split if all(known[part] for part, (_, known) in zip(one, chosen, strict=False)))
        alive.setdefault(tuple(hit), lead)
    texts, bits = ["*"], dict.fromkeys(patterns, 0)
    for mine, lead in alive.items():
        for name, known in names:
            for one in mine:
                if known[one[5]]:
                    bits[":".join(one)] |= 1 << len(texts)
            texts.append(f"{lead}:{name}")
    return texts, {**bits, "*": (1 << len(texts)) - 1}


def _segment(patterns: tuple[str, ...]) -> list[tuple[str, dict[str, bool]]]:
    return [(text, dict(zip(patterns, matches, strict=True))) for text, matches in walk(patterns)]


def _views(statements: Sequence[Policy]) -> Iterator[View]:
    """Yields every context that the conditions can tell apart; raises TooManyViews."""
    patterns: dict[str, set[str]] = {}
    labels: set[str] = set()
    sets: set[str] = set()
    nulls: dict[str, tuple[str, frozenset[str]]] = {}
    for operator, key, values in (atom for statement in statements for atom in oracle.atoms(statement)):
        if _compares_texts(operator):
            patterns.setdefault(key.lower(), set()).update(values)
            sets |= {key.lower()} if ":" in operator else set()
        else:
            labels.add(label := _label(operator, key, values))
            if operator.lower() == "null":
                nulls[label] = key.lower(), frozenset(value.lower() for value in values)
    options = {key: _values(tuple(sorted(found)), several=key in sets) for key, found in patterns.items()}
    count = 2 ** len(labels)
    for found in options.values():
        count *= len(found)
    if count > MAX_VIEWS:
        raise TooManyViews(f"the conditions can hold in {count} ways, too many to list")
    subsets = list(chain.from_iterable(combinations(sorted(labels), size) for size in range(len(labels) + 1)))
    for chosen in product(*options.values()):
        context = dict(zip(options, chosen, strict=True))
        yield from (View(context, frozenset(held)) for held in subsets if _is_one_state(context, held, nulls))


def _is_one_state(
    context: Mapping[str, tuple[str, ...] | None],
    held: Sequence[str],
    nulls: Mapping[str, tuple[str, AbstractSet[str]]],
) -> bool:
    """Says whether each key is absent or there for all the conditions about it: `Null` by its label, and values."""
    there = {key: values is not None for key, values in context.items()}
    for label, (key, states) in nulls.items():
        holds = label in held
        if len(states) > 1:
            if not holds:  # absent or there: that is always so
                return False
        elif there.setdefault(key, holds is ("false" in states)) is not (holds is ("false" in states)):
            return False
    return True


def _values(patterns: tuple[str, ...], *, several: bool) -> list[tuple[str, ...] | None]:
    """Returns no value, each value that the patterns tell apart, and pairs of them where a key has several."""
    single = [text for text, _ in walk(patterns)]
    return [None, *((text,) for text in single), *(combinations(single, 2) if several else ())]


def _about(statement: Policy, known: Mapping[str, bool]) -> bool:
    hit = any(known[text.lower()] for text in _texts(statement, "Action"))
    return hit is ("Action" in statement)


def _on(statement: Policy, world: World) -> int:
    bits = 0
    for text in _texts(statement, "Resource"):
        bits |= world.bits[text]
    return bits if "Resource" in statement else world.bits["*"] & ~bits


def _union(statements: Sequence[tuple[Policy, int]], effect: str, known: Mapping[str, bool]) -> int:
    bits = 0
    for statement, on in statements:
        if statement["Effect"] == effect and _about(statement, known):
            bits |= on
    return bits


def _live(policy: Policy, world: World, view: View) -> list[tuple[Policy, int]]:
    return [(statement, _on(statement, world)) for statement in policy["Statement"] if view.holds(statement)]


def escape(issued: Policy, ceiling: Policy) -> tuple[str, str] | None:
    """Returns a request that the issued policy allows and the ceiling does not, or None."""
    world = World.of(issued, ceiling)
    for view in world.views:
        mine, above = _live(issued, world, view), _live(ceiling, world, view)
        for action, known in world.actions:
            allowed = _union(mine, "Allow", known) & ~_union(mine, "Deny", known)
            beyond = allowed & ~(_union(above, "Allow", known) & ~_union(above, "Deny", known))
            if beyond:
                return action, world.resources[(beyond & -beyond).bit_length() - 1]
    return None


def unguarded_call(issued: Policy) -> tuple[str, str] | None:
    """Returns a direct call that the policy neither allows nor denies, so that a resource policy could allow it.

    A condition that cannot be guarded may leave calls open that an Allow would hold but for it (5-iam.md, guards).
    """
    world = World.of(issued)
    allows = [(one, _on(one, world)) for one in issued["Statement"] if one["Effect"] == "Allow"]
    for view in (view for view in world.views if view.is_direct(world.labels)):
        live = _live(issued, world, view)
        for action, known in world.actions:
            closed = _union(live, "Allow", known) | _union(live, "Deny", known)
            excused = _union([each for each in allows if _is_hard_to_guard(each, allows, world)], "Allow", known)
            left = world.bits["*"] & ~closed & ~excused
            if left:
                return action, world.resources[(left & -left).bit_length() - 1]
    return None


def _is_hard_to_guard(one: tuple[Policy, int], allows: Sequence[tuple[Policy, int]], world: World) -> bool:
    """Says whether the Allow has a condition that is not about one text, or shares a call with another Allow."""
    statement, on = one
    if any(not _compares_texts(operator) or ":" in operator for operator, _, _ in oracle.atoms(statement)):
        return True
    rivals = [other for other, also_on in allows if other is not statement and on & also_on]
    shared = [known for _, known in world.actions if _about(statement, known)]
    return bool(statement.get("Condition")) and any(_about(rival, known) for rival in rivals for known in shared)
