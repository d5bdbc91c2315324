"""Exact guards: the Denies that make a session policy a ceiling, not only an offer.

A resource policy that names a session adds rights beyond an Allow-only session policy. The guards deny, for
every direct call, exactly what the Allows do not allow. Source: IAM user guide, "Policy evaluation for requests
within a single account" (an explicit Deny in any policy overrides the Allow).
"""

import ipaddress
import string
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from itertools import combinations

from remit_server.iam.issuing.blocks import Block, blocks_of, overlapping, pruned
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import canonical
from remit_server.iam.language.document import Document, Effect, Statement
from remit_server.iam.language.negation import negated

DIRECT_CALL = Condition("BoolIfExists", "aws:ViaAWSService", ("false",))
"""Holds for calls the session makes itself; services calling on its behalf stay bounded by the Allows."""

_EVERY_ACTION = (ActionPattern.parse("*"),)
_EVERY_RESOURCE = (ResourcePattern.parse("*"),)
_MOST_OVERLAPS = 64
_MOST_CELLS_TO_PAIR = 12


class TooManyOverlapsError(ValueError):
    """The allowed actions overlap in too many ways to guard them exactly."""


def guarded(allows: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[Condition, ...]]:
    """Builds the guards of these Allows, and lists the conditions that no full guard could be built for.

    For a direct call the guards deny every action and resource that no Allow names, and deny a conditioned
    Allow's actions and resources where its condition does not hold. They never deny what is allowed.
    Raises ValueError when nothing is allowed, and TooManyOverlapsError instead of guarding less.
    """
    if not allows:
        raise ValueError("There is nothing to guard: no Allow.")
    conditional, unguarded = _condition_guards(allows)
    return (*_access_guards(blocks_of(allows)), *conditional), unguarded


def time_bound(end: datetime) -> Statement:
    """Denies everything from `end` on (cut to whole seconds, so never later than given).

    Raises ValueError for a time without a zone.
    """
    if end.tzinfo is None:
        raise ValueError("The end of a session policy needs a time zone.")
    text = end.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _bound(Condition("DateGreaterThanEquals", "aws:CurrentTime", (text,)))


def bound_to(*, source_cidrs: Sequence[str] = (), vpc_ids: Sequence[str] = ()) -> Statement:
    """Denies direct calls from outside these networks, or from outside these VPCs; exactly one kind is given.

    Raises ValueError for both, for neither, and for a value that is not a network or a VPC id.
    """
    if bool(source_cidrs) is bool(vpc_ids):
        raise ValueError("Bind to source networks or to VPCs: one of them, not both.")
    if source_cidrs:
        networks = tuple(sorted({str(ipaddress.ip_network(cidr)) for cidr in source_cidrs}))
        return _bound(Condition("NotIpAddressIfExists", "aws:SourceIp", networks), DIRECT_CALL)
    for vpc_id in vpc_ids:
        prefix, digits = vpc_id[:4], vpc_id[4:]
        if prefix != "vpc-" or not digits or set(digits) - set(string.hexdigits.lower()):
            raise ValueError("A VPC id is vpc- followed by lower-case hexadecimal digits.")
    return _bound(Condition("StringNotEqualsIfExists", "aws:SourceVpc", tuple(sorted(set(vpc_ids)))), DIRECT_CALL)


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


# Actions and resources. Blocks A1 on R1, A2 on R2, ... are allowed. A cell is a set S of blocks that some action
# may lie in exactly. "Deny every action outside the blocks not in S, on every resource outside the blocks in S"
# denies nothing allowed, and denies an action that lies in exactly S all it is not allowed. So one guard for each
# cell, and one for the empty cell (actions in no block), are exact.


def _access_guards(blocks: Sequence[Block]) -> tuple[Statement, ...]:
    cells = _cells(blocks)
    guards = {cell: _cell_guard(cell, blocks) for cell in cells}
    named = pruned(action for block in blocks for action in block.actions)
    if named == _EVERY_ACTION:
        return tuple(guards.values())
    best = [_denial(named, _EVERY_RESOURCE, not_action=True), *guards.values()]
    if len(cells) > _MOST_CELLS_TO_PAIR:
        return tuple(best)
    for one, other in combinations(cells, 2):
        if not overlapping(_resources(one), _resources(other)):
            # NOTE: every resource is outside one of the two, so their wide forms also deny the empty cell.
            pair = {one: _wide_guard(one, blocks), other: _wide_guard(other, blocks)}
            best = min(best, list({**guards, **pair}.values()), key=size_of)
    return tuple(best)


def _cells(blocks: Sequence[Block]) -> list[tuple[Block, ...]]:
    """Lists the cells, except those that are allowed on every resource and need no guard."""
    cells: list[tuple[Block, ...]] = []
    open_ends: list[tuple[int, ...]] = [(index,) for index in reversed(range(len(blocks)))]
    while open_ends:
        cell = open_ends.pop()
        inside = tuple(blocks[index] for index in cell)
        outside = [block for index, block in enumerate(blocks) if index not in cell]
        if not any(one.acts_within(other) for one in inside for other in outside):
            cells.append(inside)
        open_ends += [
            (*cell, index)
            for index in range(cell[-1] + 1, len(blocks))
            if all(blocks[index].shares_actions(member) for member in inside)
        ]
        if len(cells) + len(open_ends) > _MOST_OVERLAPS + len(blocks):
            raise TooManyOverlapsError("The allowed actions overlap in too many ways: use fewer wildcards.")
    return [cell for cell in cells if not any(block.is_everywhere for block in cell)]


def _cell_guard(cell: tuple[Block, ...], blocks: Sequence[Block]) -> Statement:
    """Takes the readable form "these actions, not these resources" where one block's actions are the cell."""
    outside = [block for block in blocks if block not in cell]
    for block in cell:
        if all(block.acts_within(other) for other in cell) and not any(
            block.shares_actions(other) for other in outside
        ):
            narrow = _denial(block.actions, _resources(cell), not_resource=True)
            return min(narrow, _wide_guard(cell, blocks), key=lambda guard: size_of((guard,)))
    return _wide_guard(cell, blocks)


def _wide_guard(cell: tuple[Block, ...], blocks: Sequence[Block]) -> Statement:
    others = pruned(action for block in blocks if block not in cell for action in block.actions)
    return _denial(others or _EVERY_ACTION, _resources(cell), not_action=bool(others), not_resource=True)


def _denial(
    actions: tuple[ActionPattern, ...],
    resources: tuple[ResourcePattern, ...],
    *,
    not_action: bool = False,
    not_resource: bool = False,
) -> Statement:
    return Statement(Effect.DENY, actions, resources, (DIRECT_CALL,), not_action, not_resource)


def _resources(cell: tuple[Block, ...]) -> tuple[ResourcePattern, ...]:
    if len(cell) == 1:
        return cell[0].resources
    return pruned(resource for block in cell for resource in block.resources)


def size_of(statements: Iterable[Statement]) -> int:
    """Counts the characters these statements take as one document."""
    return len(Document(tuple(statements)).text)


# Conditions. An Allow's condition is guarded on those of its actions that no Allow without that condition shares.


def _condition_guards(allows: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[Condition, ...]]:
    guards: dict[tuple[tuple[Condition, ...], tuple[ResourcePattern, ...]], list[ActionPattern]] = {}
    unguarded: set[Condition] = set()
    for statement in allows:
        for condition in statement.conditions:
            free = [statement_without for statement_without in allows if not _has(statement_without, condition)]
            actions = _unshared(statement, free)
            denied = _denied_where(condition)
            if denied is None or len(actions) < len(statement.actions):
                unguarded.add(condition)
            if denied and actions:
                guards.setdefault((denied, _on(statement, actions, free)), []).extend(actions)
    statements = [
        Statement(Effect.DENY, pruned(actions), resources, conditions)
        for (conditions, resources), actions in guards.items()
    ]
    return tuple(statements), canonical(unguarded)


def _has(statement: Statement, condition: Condition) -> bool:
    return condition in statement.conditions


def _unshared(statement: Statement, free: Collection[Statement]) -> list[ActionPattern]:
    rivals = [other for other in free if overlapping(statement.resources, other.resources)]
    return [
        action
        for action in statement.actions
        if not any(action.overlaps(taken) for other in rivals for taken in other.actions)
    ]


def _on(
    statement: Statement, actions: Sequence[ActionPattern], free: Collection[Statement]
) -> tuple[ResourcePattern, ...]:
    """Widens the guard to every resource where no unconditioned Allow has the same actions: shorter, as exact."""
    if any(overlapping(actions, other.actions) for other in free):
        return statement.resources
    return _EVERY_RESOURCE


def _denied_where(condition: Condition) -> tuple[Condition, ...] | None:
    """Negates the condition for direct calls; empty when no direct call fails it, None when not expressible."""
    opposite = negated(condition)
    if opposite is None:
        return None
    if any(one.folded_key == DIRECT_CALL.folded_key for one in opposite):
        return None
    return canonical((*opposite, DIRECT_CALL))
