"""What lies within grants that are revoked stops with them: narrowed out of them, or given to an agent further down.

Such a grant may be another agent's, in another task, by another policy revision, so the pattern of what was revoked
need not cover it. It is stopped under a revoke of its own, whose denies name each such grant and have to be written:
somebody else holds these credentials.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import RowMapping, Select, and_, bindparam, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.revoking.covering import LIVE, MATCHES, denies_of_grants
from remit_server.adapters.database.revoking.stopped import (
    AT_ONCE,
    Stopped,
    keep_revocation,
    order_below,
    record_of,
)
from remit_server.adapters.database.schema.revocation_tables import denies, revocations
from remit_server.adapters.database.schema.tables import grants, issuances
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.operations import moves
from remit_server.domain.grant import GrantState
from remit_server.domain.revocation import RevokeCause, RevokeOrder, TargetKind

_REQUIRED: Final = [cause.value for cause in RevokeCause if cause.is_required]
_live: Final = grants.c.state.in_(LIVE)
# Stopped before by what need not tell AWS: under an order that must, it is told.
_untold: Final = and_(
    grants.c.state == GrantState.REVOKING.value,
    grants.c.revocation_id.is_distinct_from(bindparam("this_revocation")),
    ~exists().where(revocations.c.revocation_id == grants.c.revocation_id, revocations.c.cause.in_(_REQUIRED)),
)


def _within(kind: TargetKind) -> Select[Any]:
    """Selects what lies within the grants of a target, at any depth, and is not of the target itself."""
    above = (
        select(grants.c.grant_id)
        .where(MATCHES[kind], grants.c.expire_time > bindparam("over_before"))
        .cte("above", recursive=True)
    )
    below = grants.alias("below")
    tree = above.union(select(below.c.grant_id).where(below.c.parent_grant_id == above.c.grant_id))
    has_issuances = exists().where(issuances.c.grant_id == grants.c.grant_id)
    columns = (grants.c.grant_id, grants.c.task_id, grants.c.account, grants.c.subject_part, grants.c.expire_time)
    return (
        select(*columns, grants.c.state, has_issuances.label("has_issuances"))
        .where(
            grants.c.parent_grant_id.is_not(None),
            grants.c.grant_id.in_(select(tree.c.grant_id)),
            ~MATCHES[kind],
            grants.c.expire_time > bindparam("over_before"),
        )
        .order_by(grants.c.grant_id)
        .limit(AT_ONCE)
    )


_STILL_LIVE: Final = {kind: _within(kind).where(_live) for kind in MATCHES}
_LIVE_OR_UNTOLD: Final = {kind: _within(kind).where(or_(_live, _untold)) for kind in MATCHES}
_of_these: Final = grants.c.grant_id.in_(bindparam("these", expanding=True))
_STOP: Final = (
    moves(GrantState.REVOKING)
    .where(_of_these)
    .values(
        state_time=bindparam("now"),
        revoke_time=bindparam("now"),
        revocation_id=bindparam("this_revocation"),
        revoke_cause=bindparam("this_cause"),
    )
)
_TAKE_OVER: Final = update(grants).where(_of_these).values(revocation_id=bindparam("this_revocation"))
_ADD_DENY: Final = insert(denies)


def stop_within(batch: Batch, order: RevokeOrder, these: dict[str, Any], *, denying: bool) -> Stopped:
    """Stops what lies within the grants of a target (`these` are its values), and queues what AWS must be told."""
    wanted = (_LIVE_OR_UNTOLD if order.cause.is_required else _STILL_LIVE)[order.target.kind]
    below = order_below(order, order.target, "within what was revoked")
    found = list[RowMapping]()
    while part := batch.connection.execute(wanted, {**these, "this_revocation": below.revocation_id}).mappings().all():
        _move(batch, part, below, these)
        if denying:
            batch.connection.execute(_ADD_DENY, denies_of_grants(below, these["now"], part))
        batch.gets_on()
        found += part
    if not found:
        return Stopped((), None, denying=False)
    names = sorted(f"tasks/{one['task_id']}/grants/{one['grant_id']}" for one in found if one["state"] in LIVE)
    until = max((one["expire_time"] for one in found if one["has_issuances"]), default=None)
    stopped = Stopped(tuple(names), until, denying)
    keep_revocation(batch, below, these["now"], len(names))
    batch.append(record_of(below, stopped))
    return stopped


def _move(batch: Batch, found: Sequence[RowMapping], order: RevokeOrder, these: dict[str, Any]) -> None:
    """Moves what is live to REVOKING, and has what was stopped before be waited for under this order."""
    live = [one["grant_id"] for one in found if one["state"] in LIVE]
    untold = [one["grant_id"] for one in found if one["state"] not in LIVE]
    values = {"now": these["now"], "this_revocation": order.revocation_id, "this_cause": order.cause.value}
    if live:
        batch.connection.execute(_STOP, {**values, "these": live})
    if untold:
        batch.connection.execute(_TAKE_OVER, {"this_revocation": order.revocation_id, "these": untold})
