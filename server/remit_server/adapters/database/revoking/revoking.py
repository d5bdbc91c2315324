"""How grants are revoked, as parts of one operation: which stop, what AWS must be told of it, what is recorded.

A revoke moves what is AUTHORIZED or ISSUED to REVOKING in the transaction that records it, so that no STS call that is
under way can still become an issuance. What AWS must be told goes into the outbox (`denies`) of the same transaction,
in which what lies within those grants stops as well (within.py).
"""

from datetime import datetime

from sqlalchemy import bindparam, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.approvals.approving import stop_waiting
from remit_server.adapters.database.revoking.covering import LIVE, MATCHES, NEVER, denies_of, is_out, unsettled
from remit_server.adapters.database.revoking.stopped import (
    AT_ONCE,
    Stopped,
    in_parts,
    keep_revocation,
    new_revocation_id,
)
from remit_server.adapters.database.revoking.within import stop_within
from remit_server.adapters.database.schema.revocation_tables import denies
from remit_server.adapters.database.schema.tables import grants, issuances
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.operations import moves
from remit_server.domain.grant import GrantState
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind

_STOP = {
    kind: moves(GrantState.REVOKING)
    .where(
        grants.c.grant_id.in_(
            select(grants.c.grant_id)
            .where(matches, grants.c.expire_time > bindparam("over_before"), grants.c.state.in_(LIVE))
            .limit(AT_ONCE)
        )
    )
    .values(
        state_time=bindparam("now"),
        revoke_time=bindparam("now"),
        revocation_id=bindparam("this_revocation"),
        revoke_cause=bindparam("this_cause"),
    )
    .returning(grants.c.grant_id, grants.c.task_id)
    for kind, matches in MATCHES.items()
}
_UNTIL = {
    kind: select(func.max(grants.c.expire_time)).where(
        matches, is_out, exists().where(issuances.c.grant_id == grants.c.grant_id)
    )
    for kind, matches in MATCHES.items()
}
# What an earlier, optional revoke stopped is now waited for under this one.
_TAKE_OVER = {
    kind: update(grants)
    .where(
        matches,
        is_out,
        grants.c.account.in_(bindparam("accounts", expanding=True)),
        grants.c.effective_time.is_(None),
        grants.c.revocation_id.is_distinct_from(bindparam("this_revocation")),
    )
    .values(revocation_id=bindparam("this_revocation"))
    for kind, matches in MATCHES.items()
}
_ADD_DENY = insert(denies)


def stop(
    batch: Batch,
    order: RevokeOrder,
    *,
    now: datetime,
    denying: bool,
    over_before: datetime | None = None,
    event_time: datetime | None = None,
) -> Stopped:
    """Stops the grants of a target, and those within them, and queues what AWS must be told; keeps the revoke.

    Grants whose time guard has passed by `over_before` (default: now, or never while the clock is not settled) are left
    alone. Without `denying` the gateway
    has no revocation set up: time guards end what is out.
    """
    kind, over_before = order.target.kind, over_before or batch.over_before
    these = {
        "key": order.target.key,
        "issuer": order.target.issuer,
        "now": now,
        "over_before": over_before,
        "this_revocation": order.revocation_id,
        "this_cause": order.cause.value,
    }
    asking = unsettled(batch, kind, these) if denying else []
    stopped = in_parts(batch, _STOP[kind], these)
    if order.cause is not RevokeCause.ORPHANED:  # else it is a grant that did not wait
        stop_waiting(batch, MATCHES[kind], these, f"it was stopped: {order.cause.value.lower()}")
    until = batch.connection.execute(_UNTIL[kind], these).scalar()
    # What its own task or sweep stopped before needs no second, optional deny.
    needs_denies = denying and (stopped or order.cause.is_required)
    wanted = denies_of(batch, order, these, now, asking) if needs_denies else []
    if wanted:
        batch.connection.execute(_ADD_DENY, wanted)
        if order.cause.is_required:
            accounts = sorted({deny["account"] for deny in wanted})
            batch.connection.execute(_TAKE_OVER[kind], {**these, "accounts": accounts})
    names_of = sorted(f"tasks/{task_id}/grants/{grant_id}" for grant_id, task_id in stopped)
    keep_revocation(batch, order, now, len(names_of), event_time)
    # A repeat needs no deny of its own: an earlier one tells AWS the same.
    is_told = bool(wanted) or (denying and order.cause.is_required and until is not None)
    within = stop_within(batch, order, these, denying=denying)
    return Stopped(tuple(names_of), until, is_told).with_those_below([within])


def stop_one(batch: Batch, grant_id: str, cause: RevokeCause, *, now: datetime, denying: bool) -> Stopped:
    """Stops one grant, on nobody's word but the gateway's; also one whose time guard has passed."""
    target = Target(TargetKind.GRANT, grant_id)
    order = RevokeOrder(new_revocation_id(), target, cause, by="remit", why=cause.value.lower())
    return stop(batch, order, now=now, denying=denying, over_before=NEVER)
