"""The densest way to write Allows with their guards: allowed on everything, and taken back where it was not granted.

The Allow names each action once, on `*`. Denies without conditions take back every resource that an action was not
granted on, and every call that does not meet a condition; one guard refuses direct calls of all other actions. So
each resource and each condition stands once. What a condition cannot be taken back from stays an Allow under it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from remit_server.iam.containment.lifting import exact_opposite
from remit_server.iam.issuing.blocks import pruned
from remit_server.iam.issuing.cells import EVERY_RESOURCE, denial
from remit_server.iam.issuing.dense.shortening import short_actions, short_resources
from remit_server.iam.issuing.dense.widened import CALLED_BY_SERVICES
from remit_server.iam.issuing.guards import condition_guards
from remit_server.iam.issuing.merging import Fact, groupings
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import BudgetError, Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.negation import negated
from remit_server.iam.language.statement import Effect, Statement

SEALING_STEPS = 20_000
"""What writing sealed forms for one deriving may cost, in comparisons of patterns."""

_Alternatives = list[tuple[Condition, ...]]


@dataclass(frozen=True, slots=True)
class Sealed:
    """Holds the statements of a sealed form; not yet proven equal to what it was made of.

    `guards` are those of its statements that guard conditions of Allows as the plain form does, `unguarded` the
    conditions that no full guard was found for. `at_most` is what calls may do when another policy names the session.
    """

    statements: tuple[Statement, ...]
    guards: tuple[Statement, ...]
    unguarded: tuple[Condition, ...]
    at_most: tuple[Statement, ...]


def sealed(facts: Sequence[Fact], steps: Steps) -> Sealed | None:
    """Writes facts and their guards in the sealed form; None where it does not apply, or would take too many steps.

    It applies when no two action patterns overlap and none is of every service. Actions that services use on the
    session's behalf (KMS) are written, and guarded, as in the plain form.
    """
    try:
        table = _Table.of(facts, steps)
        return None if table is None else _written(table, steps)
    except BudgetError:
        return None


@dataclass(frozen=True, slots=True)
class _Table:
    """Holds what is granted: for each action its resources, each with the alternative conditions it is granted under.

    `kept` are the pairs whose conditions stay in Allows.
    """

    granted: dict[ActionPattern, dict[ResourcePattern, _Alternatives]]
    kept: frozenset[tuple[ActionPattern, ResourcePattern]] = field(default=frozenset())

    @classmethod
    def of(cls, facts: Iterable[Fact], steps: Steps) -> "_Table | None":
        """Arranges the facts; None where two actions overlap, or one is of every service. Raises BudgetError."""
        granted: dict[ActionPattern, dict[ResourcePattern, _Alternatives]] = {}
        for fact in facts:
            granted.setdefault(fact.action, {}).setdefault(fact.resource, []).append(fact.conditions)
        steps.take(len(granted) ** 2)
        if any(action.service == "*" for action in granted) or any(
            one.overlaps(other) for one, other in combinations(granted, 2)
        ):
            return None
        kept = {(action, resource) for action in granted for resource in _kept(action, granted[action], steps)}
        return cls(granted, frozenset(kept))

    def is_sealed(self, action: ActionPattern) -> bool:
        """Says whether the action needs no Allow of its own."""
        return action.service not in CALLED_BY_SERVICES and not any(
            (action, resource) in self.kept for resource in self.granted[action]
        )

    def others(self, actions: Iterable[ActionPattern]) -> list[ActionPattern]:
        """Lists the granted actions but for these."""
        left_out = set(actions)
        return [action for action in self.granted if action not in left_out]

    def resources_of(self, actions: Iterable[ActionPattern], but: Iterable[ResourcePattern]) -> list[ResourcePattern]:
        """Lists what is granted to any of the actions, but for these resources."""
        left_out = set(but)
        found = dict.fromkeys(resource for action in actions for resource in self.granted[action])
        return [resource for resource in found if resource not in left_out]


def _kept(action: ActionPattern, granted: dict[ResourcePattern, _Alternatives], steps: Steps) -> set[ResourcePattern]:
    """Lists the resources on which conditions stay in Allows.

    A Deny cannot say "this or that condition", nor different ones where resources overlap, nor the opposite of any
    condition; and it never takes back what services do on the session's behalf with KMS.
    """
    if action.service in CALLED_BY_SERVICES:
        return set(granted)
    kept = {resource for resource, found in granted.items() if len(found) > 1 or not all(map(_is_deniable, found[0]))}
    if len({tuple(found) for found in granted.values()}) > 1:
        steps.take(len(granted) ** 2)
        for one, other in combinations(granted, 2):
            if granted[one] != granted[other] and one.overlaps(other):
                kept |= {one, other}
    return kept


def _is_deniable(condition: Condition) -> bool:
    opposite = negated(condition)
    return opposite is not None and len(opposite) == 1 and exact_opposite(opposite[0]) == condition


def _written(table: _Table, steps: Steps) -> Sealed:
    allows = _allows_kept(table)
    guards, unguarded = condition_guards(allows)
    everything = [action for action in table.granted if table.is_sealed(action)]
    on_everything = [Statement(Effect.ALLOW, tuple(everything), EVERY_RESOURCE)] if everything else []
    statements = (
        *on_everything,
        *(_shortened(allow, table, steps) for allow in allows),
        denial(tuple(table.granted), EVERY_RESOURCE, not_action=True),
        *_other_resources(table, steps),
        *_conditions_unmet(table, steps),
        *guards,
    )
    at_most = tuple(
        Fact(action, resource, () if (action, resource) in table.kept else found[0]).statement
        for action, granted in table.granted.items()
        for resource, found in granted.items()
    )
    return Sealed(statements, guards, unguarded, at_most)


def _allows_kept(table: _Table) -> tuple[Statement, ...]:
    """Writes Allows for the actions that are not allowed on everything, without the conditions that Denies hold."""
    facts = [
        Fact(action, resource, conditions)
        for action, granted in table.granted.items()
        if not table.is_sealed(action)
        for resource, found in granted.items()
        for conditions in (found if (action, resource) in table.kept else [()])
    ]
    return min(groupings(facts), key=_size) if facts else ()


def _shortened(allow: Statement, table: _Table, steps: Steps) -> Statement:
    """Shortens the resources of an Allow to what tells them from others that its actions are granted on."""
    if any(action.service in CALLED_BY_SERVICES for action in allow.actions):
        return allow
    others = table.resources_of(allow.actions, allow.resources)
    return replace(allow, resources=short_resources(allow.resources, others, steps))


def _other_resources(table: _Table, steps: Steps) -> list[Statement]:
    """Denies each action on every resource that it is not granted on, service by service."""
    services: dict[str, dict[tuple[ResourcePattern, ...], list[ActionPattern]]] = {}
    for action, granted in table.granted.items():
        services.setdefault(action.service, {}).setdefault(pruned(granted), []).append(action)
    found: list[Statement] = []
    for service, blocks in services.items():
        bounded = {on: actions for on, actions in blocks.items() if not any(each.is_universal for each in on)}
        if service in CALLED_BY_SERVICES:
            found += [denial(tuple(actions), on, not_resource=True) for on, actions in bounded.items()]
        else:
            ways = [_one_by_one(bounded, table, steps), _from_all(bounded, table, steps)]
            found += min((way for way in ways if way is not None), key=_size)
    return found


_Blocks = Mapping[tuple[ResourcePattern, ...], Sequence[ActionPattern]]


def _one_by_one(blocks: _Blocks, table: _Table, steps: Steps) -> list[Statement]:
    """Denies each block everything but its resources."""
    return [
        Statement(Effect.DENY, short_actions(actions, table.others(actions), steps), on, not_resource=True)
        for on, actions in blocks.items()
    ]


def _from_all(blocks: _Blocks, table: _Table, steps: Steps) -> list[Statement] | None:
    """Denies all blocks everything but the resources of all, and then each block those of the others.

    None where no resource stands in two blocks, which is shorter the other way, or where some overlap in part.
    """
    everything = tuple(dict.fromkeys(resource for on in blocks for resource in on))
    if len(everything) == sum(map(len, blocks)):
        return None
    steps.take(len(everything) ** 2)
    if any(one.overlaps(other) for one, other in combinations(everything, 2)):
        return None
    found = _one_by_one({everything: [action for actions in blocks.values() for action in actions]}, table, steps)
    for on, actions in blocks.items():
        rest = [resource for resource in everything if resource not in on]
        if rest:
            short = short_actions(actions, table.others(actions), steps)
            but_these = Statement(Effect.DENY, short, short_resources(on, rest, steps), not_resource=True)
            those = Statement(Effect.DENY, short, short_resources(rest, on, steps))
            found.append(min(but_these, those, key=lambda each: len(each.text)))
    return found


def _size(statements: Iterable[Statement]) -> int:
    return sum(len(each.text) + 1 for each in statements)


def _conditions_unmet(table: _Table, steps: Steps) -> list[Statement]:
    """Denies what is granted under conditions that Denies can take back, where these do not hold."""
    under: dict[Condition, dict[ActionPattern, list[ResourcePattern]]] = {}
    for action, granted in table.granted.items():
        for resource, found in granted.items():
            if (action, resource) not in table.kept:
                for condition in found[0]:
                    under.setdefault(condition, {}).setdefault(action, []).append(resource)
    return [each for condition, places in under.items() for each in _unmet(condition, places, table, steps)]


def _unmet(
    condition: Condition, places: dict[ActionPattern, list[ResourcePattern]], table: _Table, steps: Steps
) -> list[Statement]:
    """Denies actions where one condition does not hold: all that is granted of them, or on some resources alone."""
    opposite = negated(condition) or ()
    whole = [action for action, resources in places.items() if len(resources) == len(table.granted[action])]
    found: list[Statement] = []
    if whole:
        short = short_actions(whole, table.others(whole), steps)
        found.append(Statement(Effect.DENY, short, EVERY_RESOURCE, opposite))
    by_resource: dict[ResourcePattern, list[ActionPattern]] = {}
    for action in table.others(whole):
        for resource in places.get(action, ()):
            by_resource.setdefault(resource, []).append(action)
    by_actions: dict[tuple[ActionPattern, ...], list[ResourcePattern]] = {}
    for resource, actions in by_resource.items():
        by_actions.setdefault(tuple(actions), []).append(resource)
    for alike, resources in by_actions.items():
        short = short_actions(alike, table.others(alike), steps)
        places_meant = short_resources(resources, table.resources_of(alike, resources), steps)
        found.append(Statement(Effect.DENY, short, places_meant, opposite))
    return found
