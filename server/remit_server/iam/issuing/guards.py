"""Exact guards: the Denies that make a session policy a ceiling, not only an offer.

A resource policy that names a session adds rights beyond an Allow-only session policy. The guards deny, for
every direct call, exactly what the Allows do not allow. Source: IAM user guide, "Policy evaluation for requests
within a single account" (an explicit Deny in any policy overrides the Allow).
"""

import ipaddress
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from remit_server.iam.issuing.blocks import blocks_of, overlapping, pruned
from remit_server.iam.issuing.cells import DIRECT_CALL, EVERY_ACTION, EVERY_RESOURCE, access_guards
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import canonical
from remit_server.iam.language.document import Document
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
    return _ending(end.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


@lru_cache(maxsize=64)  # what is asked for in the same second mostly ends in the same second
def _ending(text: str) -> Statement:
    return _bound(Condition("DateGreaterThanEquals", "aws:CurrentTime", (text,)))


def without_end(document: Document) -> Document:
    """Returns the document without the Denies that end it: what it allows for as long as it works."""
    return Document(tuple(each for each in document.statements if not is_end(each)))


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


def is_end(statement: Statement) -> bool:
    """Recognises the time bound: a Deny of every action on every resource from a time on, and under nothing else."""
    return is_bound(statement) and [(one.operator, one.key) for one in statement.conditions] == [
        ("DateGreaterThanEquals", "aws:CurrentTime")
    ]


def _bound(*conditions: Condition) -> Statement:
    return Statement(Effect.DENY, EVERY_ACTION, EVERY_RESOURCE, conditions)


# Conditions. An Allow's condition is guarded on those of its actions that no Allow without that condition shares.


def condition_guards(allows: Sequence[Statement]) -> tuple[tuple[Statement, ...], tuple[Condition, ...]]:
    """Builds the guards of the conditions, and lists those that no full guard could be built for."""
    if not any(statement.conditions for statement in allows):
        return (), ()
    guards: dict[tuple[tuple[Condition, ...], tuple[ResourcePattern, ...]], list[ActionPattern]] = {}
    unguarded: set[Condition] = set()
    under = [frozenset(statement.conditions) for statement in allows]
    for statement in allows:
        rivals = _rivals(statement, allows) if statement.conditions else []
        for condition in statement.conditions:
            free = [rival for rival in rivals if condition not in under[rival.at]]
            taken = [action for rival in free if rival.on_resources for action in rival.actions]
            actions = [action for action in statement.actions if action not in taken]
            denied = _denied_where(condition)
            if denied is None or len(actions) < len(statement.actions):
                unguarded.add(condition)
            if denied and actions:
                # On every resource where no unconditioned Allow has the same actions: shorter, and as exact.
                shared = any(action in rival.actions for rival in free for action in actions)
                on = statement.resources if shared else EVERY_RESOURCE
                guards.setdefault((denied, on), []).extend(actions)
    statements = [
        Statement(Effect.DENY, pruned(actions), resources, conditions)
        for (conditions, resources), actions in guards.items()
    ]
    return tuple(statements), canonical(unguarded)


@dataclass(frozen=True, slots=True)
class _Rival:
    """Holds which of a statement's actions another Allow may allow as well, and whether on its resources."""

    at: int
    actions: frozenset[ActionPattern]
    on_resources: bool


def _rivals(statement: Statement, allows: Sequence[Statement]) -> list[_Rival]:
    rivals: list[_Rival] = []
    for at, other in enumerate(allows):
        same = frozenset(other.actions)
        shared = frozenset(
            one for one in statement.actions if one in same or any(one.overlaps(taken) for taken in other.actions)
        )
        if shared:
            rivals.append(_Rival(at, shared, overlapping(statement.resources, other.resources)))
    return rivals


def _denied_where(condition: Condition) -> tuple[Condition, ...] | None:
    """Negates the condition for direct calls; empty when no direct call fails it, None when not expressible."""
    opposite = negated(condition)
    if opposite is None:
        return None
    if any(one.folded_key == DIRECT_CALL.folded_key for one in opposite):
        return None
    return canonical((*opposite, DIRECT_CALL))
