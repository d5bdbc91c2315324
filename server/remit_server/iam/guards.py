"""Exact guards: the Denies that make a session policy a ceiling, not only an offer.

A resource policy that names a session adds rights beyond an Allow-only session policy. The guards deny, for
every direct call, exactly what the Allows do not allow. Source: IAM user guide, "Policy evaluation for requests
within a single account" (an explicit Deny in any policy overrides the Allow).
"""

import ipaddress
import string
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations

from .arn import ActionPattern, ResourcePattern
from .condition import Condition
from .document import Document, Effect, Statement
from .negation import negated
from .shapes import Block, Everything, blocks_of, overlap, pruned

DIRECT_CALL = Condition("BoolIfExists", "aws:ViaAWSService", ("false",))
"""Holds for calls the session makes itself; services calling on its behalf stay bounded by the Allows."""

_EVERY_ACTION = (ActionPattern.parse("*"),)
_EVERY_RESOURCE = (ResourcePattern.parse("*"),)
_MOST_CELLS = 64


class TooManyOverlapsError(ValueError):
    """The allowed actions overlap in too many ways to guard them exactly."""


def guarded(allows: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[Condition, ...]]:
    """Builds the guards of these Allows, and lists the conditions that no guard could be built for.

    For a direct call the guards deny every action and resource that no Allow names, and deny a conditioned
    Allow's actions and resources where its condition does not hold. They never deny what is allowed.
    Raises TooManyOverlapsError instead of guarding less.
    """
    conditional, unguarded = _condition_guards(allows)
    return (*_access_guards(blocks_of(allows)), *conditional), unguarded


def time_bound(end: datetime) -> Statement:
    """Denies everything from `end` on (whole seconds, never later than given).

    Raises ValueError for a time without a zone.
    """
    if end.tzinfo is None:
        raise ValueError("The end of a session policy needs a time zone.")
    text = end.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _bound(Condition("DateGreaterThanEquals", "aws:CurrentTime", (text,)))


def bound_to(*, source_cidrs: Sequence[str] = (), vpc_ids: Sequence[str] = ()) -> Statement:
    """Denies direct calls from outside these networks, or these VPCs; exactly one kind is given.

    Raises ValueError for both, neither, or a value that is not a network or a VPC id.
    """
    if bool(source_cidrs) is bool(vpc_ids):
        raise ValueError("Bind to source networks or to VPCs: one of them, not both.")
    if source_cidrs:
        networks = tuple(sorted({str(ipaddress.ip_network(cidr)) for cidr in source_cidrs}))
        return _bound(Condition("NotIpAddressIfExists", "aws:SourceIp", networks), DIRECT_CALL)
    for vpc_id in vpc_ids:
        if not vpc_id.startswith("vpc-") or not set(vpc_id[4:]) <= set(string.hexdigits) or len(vpc_id) < 5:
            raise ValueError("A VPC id is vpc- and hexadecimal digits.")
    vpcs = tuple(sorted(set(vpc_ids)))
    return _bound(Condition("StringNotEqualsIfExists", "aws:SourceVpc", vpcs), DIRECT_CALL)


def is_bound(statement: Statement) -> bool:
    """Recognises a Deny of every action on every resource: a time or network bound."""
    return (
        statement.effect is Effect.DENY
        and statement.actions == _EVERY_ACTION
        and statement.resources == _EVERY_RESOURCE
        and not statement.not_action
        and not statement.not_resource
    )


def _bound(*conditions: Condition) -> Statement:
    return Statement(Effect.DENY, _EVERY_ACTION, _EVERY_RESOURCE, conditions)


# --- actions and resources ------------------------------------------------------------------------------------
#
# Blocks A1 x R1, A2 x R2, ... are allowed. For a set S of blocks, denying every action outside the other blocks
# on every resource outside the blocks of S denies nothing allowed; and an action that lies in exactly the blocks
# of S is denied everything it is not allowed. So one guard per set S that some action lies in exactly (the empty
# set too) is exact.


def _access_guards(blocks: Sequence[Block]) -> tuple[Statement, ...]:
    cells = _cells(blocks)
    guards = {cell: _shortest(_narrow_form(cell, blocks), _wide_form(cell, blocks)) for cell in cells}
    best = [_outside(blocks), *guards.values()]
    for one, other in combinations(cells, 2):
        if _disjoint_resources(one, other):  # then every resource is outside one of them: no third guard needed
            wide = {one: _wide_form(one, blocks), other: _wide_form(other, blocks)}
            best = min(best, list({**guards, **wide}.values()), key=_size)
    return tuple(best)


def _cells(blocks: Sequence[Block]) -> list[tuple[Block, ...]]:
    """Lists the sets of blocks that an action may lie in exactly, but not those allowed on every resource."""
    cells: list[tuple[Block, ...]] = []
    grown: list[tuple[int, ...]] = [(index,) for index in range(len(blocks))]
    while grown:
        cell = grown.pop()
        inside = tuple(blocks[index] for index in cell)
        outside = [block for index, block in enumerate(blocks) if index not in cell]
        if not any(one.acts_within(other) for one in inside for other in outside):
            cells.append(inside)
        grown += [
            (*cell, index)
            for index in range(cell[-1] + 1, len(blocks))
            if all(blocks[index].shares_actions(blocks[member]) for member in cell)
        ]
        if len(cells) + len(grown) > _MOST_CELLS:
            raise TooManyOverlapsError("The allowed actions overlap in too many ways: ask for fewer wildcards.")
    return [cell for cell in cells if not any(block.is_everywhere for block in cell)]
