"""Allows seen as blocks: sets of actions, each with everything those actions are allowed on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.statement import Statement


class _Including(Protocol):
    @property
    def is_literal(self) -> bool: ...

    def includes(self, other: Self, /) -> bool: ...


AnyPattern = TypeVar("AnyPattern", bound=_Including)


@dataclass(frozen=True, slots=True)
class Block:
    """Action patterns that are all allowed on the same resources (whatever the conditions)."""

    actions: tuple[ActionPattern, ...]
    resources: tuple[ResourcePattern, ...]

    @property
    def is_everywhere(self) -> bool:
        """Says whether the resources are all there are."""
        return any(resource.is_universal for resource in self.resources)

    def shares_actions(self, other: "Block") -> bool:
        """Says whether some action lies in both."""
        return overlapping(self.actions, other.actions)

    def acts_within(self, other: "Block") -> bool:
        """Says whether each action pattern is included by one of the other's."""
        return all(any(wide.includes(action) for wide in other.actions) for action in self.actions)


def blocks_of(allows: Sequence[Statement]) -> tuple[Block, ...]:
    """Groups the allowed action patterns by the union of the resources they are listed with, in sorted order."""
    resources_of: dict[ActionPattern, list[ResourcePattern]] = {}
    for statement in allows:
        for action in statement.actions:
            resources_of.setdefault(action, []).extend(statement.resources)
    without_included: dict[tuple[ResourcePattern, ...], tuple[ResourcePattern, ...]] = {}
    actions_on: dict[tuple[ResourcePattern, ...], list[ActionPattern]] = {}
    for action, found in resources_of.items():
        listed = tuple(found)
        if listed not in without_included:
            without_included[listed] = pruned(listed)
        actions_on.setdefault(without_included[listed], []).append(action)
    blocks = [Block(pruned(actions), resources) for resources, actions in actions_on.items()]
    return tuple(sorted(blocks, key=lambda block: [str(action).lower() for action in block.actions]))


def overlapping(
    some: Sequence[ActionPattern] | Sequence[ResourcePattern],
    others: Sequence[ActionPattern] | Sequence[ResourcePattern],
) -> bool:
    """Says whether a pattern of the one and a pattern of the other match something in common."""
    return any(one.overlaps(other) for one in some for other in others)  # type: ignore[arg-type]


def pruned(patterns: Iterable[AnyPattern]) -> tuple[AnyPattern, ...]:
    """Drops each pattern that another one includes, and sorts the rest."""
    distinct = tuple(dict.fromkeys(patterns))
    if len(distinct) == 1:
        return distinct
    wild: list[AnyPattern] = []
    for pattern in sorted((one for one in distinct if not one.is_literal), key=lambda one: (len(str(one)), str(one))):
        if not any(other.includes(pattern) for other in wild):
            wild = [*(other for other in wild if not pattern.includes(other)), pattern]
    literal = [one for one in distinct if one.is_literal and not any(other.includes(one) for other in wild)]
    return tuple(sorted([*wild, *literal], key=str))
