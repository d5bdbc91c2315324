"""Exact guards: the Denies that make a session policy a ceiling, not only an offer.

A resource policy that names a session adds rights beyond an Allow-only session policy. The guards deny, for
every direct call, exactly what the Allows do not allow. Source: IAM user guide, "Policy evaluation for requests
within a single account" (an explicit Deny in any policy overrides the Allow).
"""

import ipaddress
import string
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from remit_server.iam.issuing.blocks import blocks_of, overlapping, pruned
from remit_server.iam.issuing.cells import DIRECT_CALL, EVERY_ACTION, EVERY_RESOURCE, access_guards
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import canonical
from remit_server.iam.language.negation import negated
from remit_server.iam.language.statement import Effect, Statement


def guarded(allows: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[Condition, ...]]:
    """Builds the guards of these Allows, and lists the conditions that no full guard could be built for.

    For a direct call the guards deny every action and resource that no Allow names, and deny a conditioned
    Allow's actions and resources where its condition does not hold. They never deny what is allowed.
    Raises ValueError when nothing is allowed, and TooManyOverlapsError instead of guarding less.
    """
    if not allows:
        raise ValueError("There is nothing to guard: no Allow.")
    conditional, unguarded = condition_guards(allows)
    return (*access_guards(blocks_of(allows)), *conditional), unguarded


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
        and statement.actions == EVERY_ACTION
        and statement.resources == EVERY_RESOURCE
        and not statement.not_action
        and not statement.not_resource
    )


def _bound(*conditions: Condition) -> Statement:
    return Statement(Effect.DENY, EVERY_ACTION, EVERY_RESOURCE, conditions)


# Conditions. An Allow's condition is guarded on those of its actions that no Allow without that condition shares.


def condition_guards(allows: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[Condition, ...]]:
    """Builds the guards of the conditions, and lists those that no full guard could be built for."""
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
    return EVERY_RESOURCE


def _denied_where(condition: Condition) -> tuple[Condition, ...] | None:
    """Negates the condition for direct calls; empty when no direct call fails it, None when not expressible."""
    opposite = negated(condition)
    if opposite is None:
        return None
    if any(one.folded_key == DIRECT_CALL.folded_key for one in opposite):
        return None
    return canonical((*opposite, DIRECT_CALL))
