"""What the Denies of a document leave of its own Allows, said by Allows alone.

A Deny without conditions of all actions but some leaves those, of all resources but some leaves those, and a Deny under
the opposite of a condition leaves what meets the condition. Nothing is taken as proven by itself: a Deny that cannot be
said so stays out, so that what is returned is never less than what the Denies leave.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, Self, TypeVar

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import conjoined
from remit_server.iam.language.negation import negated
from remit_server.iam.language.statement import Effect, Statement

_SINGLE_VALUED = ("s3:prefix", "aws:resourcetag/")
_ALL = "ForAllValues:"


def has_one_value(folded_key: str) -> bool:
    """Says whether a request has one value of the key at the most, as AWS documents it for few keys.

    Source: service authorization reference, "s3:prefix"; IAM user guide, "aws:ResourceTag/tag-key: single-valued".
    """
    return any(folded_key == each or (each.endswith("/") and folded_key.startswith(each)) for each in _SINGLE_VALUED)


class _Comparable(Protocol):
    def includes(self, other: Self, /) -> bool: ...

    def overlaps(self, other: Self, /) -> bool: ...


_Pattern = TypeVar("_Pattern", bound=_Comparable)


def lifting(statements: Iterable[Statement]) -> list[Statement]:
    """Lists the Denies that leave something which Allows can say."""
    return [
        each for each in statements if each.effect is Effect.DENY and (not each.conditions or _left(each) is not None)
    ]


def left_by(denials: Sequence[Statement], allow: Statement, steps: Steps) -> list[Statement]:
    """Returns Allows of what the denials leave of one (Action and Resource only), none where they leave nothing.

    `denials` are what `lifting` lists. Raises BudgetError for more comparisons of patterns than there are steps.
    """
    if not denials:
        return [allow]
    found: dict[tuple[tuple[ResourcePattern, ...], tuple[Condition, ...]], list[ActionPattern]] = {}
    for action in _actions_left(denials, allow.actions, steps):
        steps.take(len(denials))
        mine = [each for each in denials if each.holds_action(action)]
        for resources, conditions in _places_left(mine, allow, steps):
            found.setdefault((resources, conditions), []).append(action)
    return [
        Statement(Effect.ALLOW, tuple(actions), resources, conditions)
        for (resources, conditions), actions in found.items()
    ]


def _actions_left(
    denials: Sequence[Statement], actions: Sequence[ActionPattern], steps: Steps
) -> Sequence[ActionPattern]:
    for each in denials:
        if each.not_action and _is_on_everything(each) and not each.conditions:
            actions = _within(each.actions, actions, steps)
    return actions


def _places_left(
    denials: Sequence[Statement], allow: Statement, steps: Steps
) -> list[tuple[tuple[ResourcePattern, ...], tuple[Condition, ...]]]:
    """Returns the resources that Denies of the whole action leave, by the conditions under which they leave them."""
    resources: Sequence[ResourcePattern] = allow.resources
    for each in denials:
        if not each.conditions:
            resources = _resources_left(each, resources, steps)
    places: dict[tuple[Condition, ...], list[ResourcePattern]] = {}
    for resource in resources:
        places.setdefault(_conditions_left(denials, allow.conditions, resource, steps), []).append(resource)
    return [(tuple(found), conditions) for conditions, found in places.items()]


def _resources_left(denial: Statement, resources: Sequence[ResourcePattern], steps: Steps) -> Sequence[ResourcePattern]:
    if denial.not_resource:
        return _within(denial.resources, resources, steps)
    steps.take(len(denial.resources) * len(resources))
    return [each for each in resources if not denial.holds_resource(each)]


def _conditions_left(
    denials: Sequence[Statement], conditions: tuple[Condition, ...], resource: ResourcePattern, steps: Steps
) -> tuple[Condition, ...]:
    for each in denials:
        left = _left(each)
        if left is None:
            continue
        steps.take(resource.cost * len(each.resources))
        if each.holds_resource(resource):
            both = conjoined(conditions, (left,))
            conditions = conditions if both is None else both
    return conditions


def _within(listed: Sequence[_Pattern], patterns: Sequence[_Pattern], steps: Steps) -> Sequence[_Pattern]:
    """Returns what the patterns and the listed ones have in common; a pattern that is partly in one stays whole."""
    found: dict[_Pattern, None] = {}
    for pattern in patterns:
        steps.take(len(listed))
        near = [one for one in listed if one.overlaps(pattern)]
        inside = [one for one in near if pattern.includes(one)]
        found.update(dict.fromkeys(inside if len(inside) == len(near) else (pattern,)))
    return tuple(found)


def _is_on_everything(statement: Statement) -> bool:
    return not statement.not_resource and any(each.is_universal for each in statement.resources)


def _left(denial: Statement) -> Condition | None:
    """Returns the condition that a Deny leaves on what it is about, None where that is not one condition."""
    match denial.conditions:
        case (condition,):
            return exact_opposite(condition)
        case _:
            return None


def exact_opposite(condition: Condition) -> Condition | None:
    """Returns the condition that holds exactly where a Deny under this one does not apply, if it is known."""
    match negated(condition):
        # NOTE: what a Deny leaves of a key with several values is its opposite only where it is said of all of them.
        case (opposite,) if opposite.operator.startswith(_ALL) or has_one_value(condition.folded_key):
            return opposite
        case _:
            return None
