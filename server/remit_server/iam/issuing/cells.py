"""Guards of actions and resources: for a direct call they deny exactly what no Allow names.

Blocks A1 on R1, A2 on R2, ... are allowed. A cell is a set S of blocks that some action may lie in exactly. "Deny
every action outside the blocks not in S, on every resource outside the blocks in S" denies nothing allowed, and
denies an action that lies in exactly S all it is not allowed. So one guard for each cell, and one for the empty
cell (actions in no block), are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from remit_server.iam.issuing.blocks import Block, overlapping, pruned
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.statement import Effect, Statement

DIRECT_CALL = Condition("BoolIfExists", "aws:ViaAWSService", ("false",))
"""Holds for calls the session makes itself; services calling on its behalf stay bounded by the Allows."""

EVERY_ACTION = (ActionPattern.parse("*"),)
EVERY_RESOURCE = (ResourcePattern.parse("*"),)
_MOST_OVERLAPS = 64
_MOST_CELLS_TO_PAIR = 12
_MOST_REMEMBERED_ACTIONS = 16


class TooManyOverlapsError(ValueError):
    """The allowed actions overlap in too many ways to guard them exactly."""


def access_guards(blocks: Sequence[Block]) -> tuple[Statement, ...]:
    """Builds the guards; raises TooManyOverlapsError instead of guarding less."""
    layout = _Layout.of(blocks)
    cells = [cell for cell in layout.cells() if not any(blocks[at].is_everywhere for at in cell)]
    wide = {cell: layout.outside(cell) for cell in cells}
    chosen = {cell: layout.shortest(cell, wide[cell]) for cell in cells}
    named = blocks[0].actions if len(blocks) == 1 else pruned(action for block in blocks for action in block.actions)
    if named == EVERY_ACTION:
        return layout.denials(chosen)
    nothing_else = _nothing_but(named)
    if 1 < len(cells) <= _MOST_CELLS_TO_PAIR:
        pair = _shorter_pair(layout, chosen, wide, len(nothing_else.text))
        if pair:
            return layout.denials({**chosen, **pair})
    return (nothing_else, *layout.denials(chosen))


def denial(
    actions: tuple[ActionPattern, ...],
    resources: tuple[ResourcePattern, ...],
    *,
    not_action: bool = False,
    not_resource: bool = False,
) -> Statement:
    """Returns a Deny of direct calls."""
    return Statement(Effect.DENY, actions, resources, (DIRECT_CALL,), not_action, not_resource)


def _nothing_but(actions: tuple[ActionPattern, ...]) -> Statement:
    """Returns the guard of the empty cell: a Deny of every action outside these, on everything."""
    if len(actions) > _MOST_REMEMBERED_ACTIONS:
        return denial(actions, EVERY_RESOURCE, not_action=True)
    return _known_nothing_but(tuple([action.text for action in actions]))


# A function of the texts alone, which many intents have in common.
@lru_cache(maxsize=1024)
def _known_nothing_but(texts: tuple[str, ...]) -> Statement:
    return denial(tuple([ActionPattern.parse(text) for text in texts]), EVERY_RESOURCE, not_action=True)


class _Denied(NamedTuple):
    """The actions that a guard denies: these, or with `all_but` every action outside them."""

    actions: tuple[ActionPattern, ...]
    all_but: bool

    @property
    def size(self) -> int:
        """How many characters of a statement they take, but for the name that both have in common."""
        count = len(self.actions)
        return sum([len(action.text) + 3 for action in self.actions]) + 2 * (count > 1) + 3 * self.all_but


@dataclass(frozen=True, slots=True)
class _Layout:
    """Holds the blocks and, as bit masks over their order, which others each one shares actions with or lies in."""

    blocks: Sequence[Block]
    shares: Sequence[int]
    within: Sequence[int]

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> "_Layout":
        shares, within = [0] * len(blocks), [0] * len(blocks)
        for (at, one), (place, other) in combinations(enumerate(blocks), 2):
            if one.shares_actions(other):
                shares[at] |= 1 << place
                shares[place] |= 1 << at
                within[at] |= one.acts_within(other) << place
                within[place] |= other.acts_within(one) << at
        return cls(blocks, shares, within)

    def cells(self) -> list[tuple[int, ...]]:
        """Lists the cells by the numbers of their blocks."""
        if not any(self.shares):
            return [(at,) for at in range(len(self.blocks))]
        cells: list[tuple[int, ...]] = []
        pending: list[tuple[tuple[int, ...], int, int]] = [
            ((at,), 1 << at, self.shares[at]) for at in reversed(range(len(self.blocks)))
        ]
        while pending:
            cell, mask, shared = pending.pop()
            if not any(self.within[at] & ~mask for at in cell):
                cells.append(cell)
            pending += [
                ((*cell, at), mask | 1 << at, shared & self.shares[at])
                for at in range(cell[-1] + 1, len(self.blocks))
                if shared >> at & 1
            ]
            if len(cells) + len(pending) > _MOST_OVERLAPS + len(self.blocks):
                raise TooManyOverlapsError("The allowed actions overlap in too many ways: use fewer wildcards.")
        return cells

    def shortest(self, cell: tuple[int, ...], wide: _Denied) -> _Denied:
        """Returns what is outside, or the cell's own actions where that says the same in less."""
        mask = sum([1 << at for at in cell])
        for at in cell:
            if not (mask & ~self.within[at] & ~(1 << at)) and not self.shares[at] & ~mask:
                return min(_Denied(self.blocks[at].actions, all_but=False), wide, key=_size)
        return wide

    def outside(self, cell: tuple[int, ...]) -> _Denied:
        """Returns every action outside the other blocks."""
        if len(self.blocks) == 1:
            return _Denied(EVERY_ACTION, all_but=False)
        outside = (block for at, block in enumerate(self.blocks) if at not in cell)
        others = pruned(action for block in outside for action in block.actions)
        return _Denied(others or EVERY_ACTION, all_but=bool(others))

    def resources(self, cell: tuple[int, ...]) -> tuple[ResourcePattern, ...]:
        """Returns what the cell's blocks are allowed on."""
        if len(cell) == 1:
            return self.blocks[cell[0]].resources
        return pruned(resource for at in cell for resource in self.blocks[at].resources)

    def denials(self, chosen: dict[tuple[int, ...], _Denied]) -> tuple[Statement, ...]:
        """Denies what was chosen for each cell, on every resource outside it."""
        return tuple(
            [
                denial(one.actions, self.resources(cell), not_action=one.all_but, not_resource=True)
                for cell, one in chosen.items()
            ]
        )


def _shorter_pair(
    layout: _Layout, chosen: dict[tuple[int, ...], _Denied], wide: dict[tuple[int, ...], _Denied], saved: int
) -> dict[tuple[int, ...], _Denied] | None:
    """Finds two cells without a common resource whose wide guards make up for the guard of the empty cell.

    NOTE: every resource is outside one of the two, so their wide forms also deny the empty cell.
    `saved` is what leaving that guard out saves; the pair that saves most is taken, None where none does.
    """
    costs = {cell: wide[cell].size - one.size for cell, one in chosen.items()}
    pairs = [pair for pair in combinations(chosen, 2) if costs[pair[0]] + costs[pair[1]] <= saved]
    for one, other in sorted(pairs, key=lambda pair: costs[pair[0]] + costs[pair[1]]):
        if not overlapping(layout.resources(one), layout.resources(other)):
            return {one: wide[one], other: wide[other]}
    return None


def _size(denied: _Denied) -> int:
    return denied.size
