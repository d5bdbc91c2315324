"""Allows seen as blocks: sets of actions, each with everything those actions are allowed on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.statement import Statement


class _Including(Protocol):
    @property
    def lead(self) -> str: ...

    @property
    def trail(self) -> str: ...

    @property
    def is_literal(self) -> bool: ...

    def includes(self, other: Self, /) -> bool: ...


AnyPattern = TypeVar("AnyPattern", bound=_Including)
# Patterns by the length of their lead, their lead and their trail.
_Filed = dict[int, dict[str, dict[str, list[AnyPattern]]]]


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
    wild = [pattern for pattern in distinct if not pattern.is_literal]
    if not wild:
        return tuple(sorted(distinct, key=str))
    filed = _by_ends(wild)
    return tuple(sorted((one for one in distinct if not _has_wider(one, filed)), key=str))


def _by_ends(wild: Iterable[AnyPattern]) -> "_Filed[AnyPattern]":
    """Files patterns under the texts that all they include begin and end with."""
    filed: _Filed[AnyPattern] = {}
    for pattern in wild:
        alike = filed.setdefault(len(pattern.lead), {}).setdefault(pattern.lead, {})
        alike.setdefault(pattern.trail, []).append(pattern)
    return filed


def _has_wider(pattern: AnyPattern, filed: "_Filed[AnyPattern]") -> bool:
    """Says whether another pattern includes this one; of two that include each other, the first in order is wider."""
    lead, trail = pattern.lead, pattern.trail
    return any(
        other is not pattern and other.includes(pattern) and (not pattern.includes(other) or str(other) < str(pattern))
        for length, leads in filed.items()
        for ending, others in leads.get(lead[:length], {}).items()
        if trail.endswith(ending)
        for other in others
    )
