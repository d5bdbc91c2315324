"""Short patterns for what is granted that no other thing granted fits, for statements that need no more than that.

They are used where other Denies of the same policy refuse whatever is not granted, today's and any that AWS adds: there
a pattern may match what is not granted, and says the same as the list of what it stands for.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from remit_server.iam.issuing.blocks import pruned
from remit_server.iam.issuing.cells import EVERY_RESOURCE
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import Steps
from remit_server.iam.language.pattern import Pattern

_Pattern = TypeVar("_Pattern", ActionPattern, ResourcePattern)


def short_actions(
    actions: Sequence[ActionPattern], others: Sequence[ActionPattern], steps: Steps
) -> tuple[ActionPattern, ...]:
    """Returns the shortest beginnings of these actions that are no beginning of another one; raises BudgetError."""
    return pruned([_first_apart(_beginnings_of_action(each), each, others, steps) for each in actions])


def short_resources(
    resources: Sequence[ResourcePattern], others: Sequence[ResourcePattern], steps: Steps
) -> tuple[ResourcePattern, ...]:
    """Does for resources, their region and account kept, what `short_actions` does; `*` where there are no others."""
    if not others:
        return EVERY_RESOURCE
    return pruned([_first_apart(_beginnings_of_resource(each), each, others, steps) for each in resources])


def _first_apart(shorter: Iterator[_Pattern], whole: _Pattern, others: Sequence[_Pattern], steps: Steps) -> _Pattern:
    """Returns the first of ever longer beginnings that has nothing in common with the others; else the whole."""
    for beginning in shorter:
        steps.take(1 + len(others))
        others = [each for each in others if beginning.overlaps(each)]
        if not others:
            return beginning
    return whole


def _beginnings_of_action(action: ActionPattern) -> Iterator[ActionPattern]:
    service, _, name = action.text.partition(":")
    for length in range(min(len(action.name.head), len(name) - 1)):
        yield ActionPattern.parse(f"{service}:{name[:length]}*")


def _beginnings_of_resource(resource: ResourcePattern) -> Iterator[ResourcePattern]:
    name = resource.name
    for length in range(0 if resource.is_universal else min(len(name.head), len(name.text) - 1)):
        yield ResourcePattern.of(resource.head, Pattern(f"{name.head[:length]}*"))
