"""How grants are revoked, as parts of one operation: which stop, what AWS must be told of it, what is recorded.

A revoke moves what is AUTHORIZED or ISSUED to REVOKING in the transaction that records it, so that no STS call that is
under way can still become an issuance. What AWS must be told goes into the outbox (`denies`) of the same transaction.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

from sqlalchemy import ColumnElement, UpdateBase, and_, bindparam, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.approving import stop_waiting
from remit_server.adapters.database.batch import Batch
from remit_server.adapters.database.operations import moves
from remit_server.adapters.database.revocation_tables import denies, revocations
from remit_server.adapters.database.tables import grants, issuances
from remit_server.domain.grant import GrantState
from remit_server.domain.revocation import (
    DENY_ROOM,
    DenyTag,
    RevokeCause,
    RevokeOrder,
    Target,
    TargetKind,
    opened_before,
)
from remit_server.domain.session_names import revision_part, subject_part
from remit_server.domain.task import TASK_ID_BYTES, opaque_id

NEVER: Final = datetime.min.replace(tzinfo=UTC)  # before every time guard
SHORT: Final = timedelta(seconds=120)  # credentials that end so soon are not worth a deny of their own
NAMED: Final = 100  # grants that an answer and a record name
AT_ONCE: Final = 1_000  # grants that one statement moves: between two of them the ledger is seen to get on
_QUOTES: Final = 3  # characters around a pattern in a list of them

_of_revision = or_(
    grants.c.policy_revision == bindparam("key"),
    grants.c.grant_id.in_(
        select(issuances.c.grant_id).where(
            issuances.c.policy_revision == bindparam("key"), issuances.c.expire_time > bindparam("over_before")
        )
    ),
)
_MATCHES: Final[dict[TargetKind, ColumnElement[bool]]] = {
    TargetKind.GRANT: grants.c.grant_id == bindparam("key"),
    TargetKind.TASK: grants.c.task_id == bindparam("key"),
    TargetKind.SUBJECT: and_(grants.c.subject_id == bindparam("key"), grants.c.subject_issuer == bindparam("issuer")),
    TargetKind.ACTOR: grants.c.actor_id == bindparam("key"),
    TargetKind.REVISION: _of_revision,
}
_LIVE = [GrantState.AUTHORIZED.value, GrantState.ISSUED.value]
# May have credentials that no issuance tells of: STS is being asked, or its answer is being recorded.
_unsettled = or_(grants.c.state == GrantState.AUTHORIZED.value, grants.c.renewing_time.is_not(None))
_UNSETTLED = {
    kind: select(
        grants.c.grant_id, grants.c.task_id, grants.c.account, grants.c.subject_part, grants.c.expire_time
    ).where(
        matches,
        grants.c.state.in_(_LIVE),
        grants.c.expire_time > bindparam("over_before"),
        _unsettled,
    )
    for kind, matches in _MATCHES.items()
}
_STOP = {
    kind: moves(GrantState.REVOKING)
    .where(
        grants.c.grant_id.in_(
            select(grants.c.grant_id)
            .where(matches, grants.c.expire_time > bindparam("over_before"), grants.c.state.in_(_LIVE))
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
    for kind, matches in _MATCHES.items()
}
_is_out = and_(grants.c.state == GrantState.REVOKING.value, grants.c.expire_time > bindparam("over_before"))
_OUT = {
    kind: select(
        grants.c.account,
        grants.c.actor_part,
        grants.c.subject_part,
        func.min(grants.c.task_id).label("task_id"),
        func.max(grants.c.expire_time).label("until"),
    )
    .where(matches, _is_out)
    .group_by(grants.c.account, grants.c.actor_part, grants.c.subject_part)
    for kind, matches in _MATCHES.items()
}
_UNTIL = {
    kind: select(func.max(grants.c.expire_time)).where(
        matches, _is_out, exists().where(issuances.c.grant_id == grants.c.grant_id)
    )
    for kind, matches in _MATCHES.items()
}
# What an earlier, optional revoke stopped is now waited for under this one.
_TAKE_OVER = {
    kind: update(grants)
    .where(
        matches,
        _is_out,
        grants.c.effective_time.is_(None),
        grants.c.revocation_id.is_distinct_from(bindparam("this_revocation")),
    )
    .values(revocation_id=bindparam("this_revocation"))
    for kind, matches in _MATCHES.items()
}
_USED = select(func.coalesce(func.sum(func.length(denies.c.pattern) + _QUOTES), 0)).where(
    denies.c.account == bindparam("account"), denies.c.covers_until > bindparam("now")
)
_ADD_DENY = insert(denies)
_ADD_REVOCATION = insert(revocations)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a revoke stopped: the names of the grants, until when credentials work, whether AWS is being told."""

    grants: tuple[str, ...]
    until: datetime | None
    denying: bool

    @property
    def digest(self) -> str:
        """SHA-256, hex, over the sorted names."""
        return hashlib.sha256("\n".join(self.grants).encode()).hexdigest()


def new_revocation_id() -> str:
    """Returns an id for a revoke that nobody asked for from outside."""
    return opaque_id(secrets.token_bytes(TASK_ID_BYTES))


def stop(
    batch: Batch,
    order: RevokeOrder,
    *,
    now: datetime,
    denying: bool,
    over_before: datetime | None = None,
    event_time: datetime | None = None,
) -> Stopped:
    """Stops the grants of a target and queues what AWS must be told; keeps the revoke.

    Grants whose time guard has passed by `over_before` (default: now) are left alone. Without `denying` the gateway
    has no revocation set up: time guards end what is out.
    """
    kind, over_before = order.target.kind, over_before or now
    these = {
        "key": order.target.key,
        "issuer": order.target.issuer,
        "now": now,
        "over_before": over_before,
        "this_revocation": order.revocation_id,
        "this_cause": order.cause.value,
    }
    unsettled = batch.connection.execute(_UNSETTLED[kind], these).all() if denying else []
    stopped = in_parts(batch, _STOP[kind], these)
    if order.cause is not RevokeCause.ORPHANED:  # else it is a grant that did not wait
        stop_waiting(batch, _MATCHES[kind], these, f"it was stopped: {order.cause.value.lower()}")
    until = batch.connection.execute(_UNTIL[kind], these).scalar()
    # What its own task or sweep stopped before needs no second, optional deny.
    wanted = _wanted(batch, order, these, now) if denying and (stopped or order.cause.is_required) else []
    if wanted and kind not in {TargetKind.GRANT, TargetKind.TASK}:
        # NOTE: a session that STS opens for one of these after `now` is not covered by the bound in time. Nobody is
        # given its credentials; its own name is denied all the same.
        wanted += [
            _deny(
                order,
                now,
                account=one.account,
                pattern=f"{one.subject_part}.{one.task_id}.{one.grant_id}",
                subject=one.subject_part,
                until=one.expire_time,
                required=False,
            )
            for one in unsettled
        ]
    if wanted:
        batch.connection.execute(_ADD_DENY, wanted)
        batch.connection.execute(_TAKE_OVER[kind], these)
    names_of = sorted(f"tasks/{task_id}/grants/{grant_id}" for grant_id, task_id in stopped)
    batch.connection.execute(_ADD_REVOCATION, _revocation_row(order, now, len(names_of), event_time))
    return Stopped(tuple(names_of), until, bool(wanted))


def stop_one(batch: Batch, grant_id: str, cause: RevokeCause, *, now: datetime, denying: bool) -> Stopped:
    """Stops one grant, on nobody's word but the gateway's; also one whose time guard has passed."""
    target = Target(TargetKind.GRANT, grant_id)
    order = RevokeOrder(new_revocation_id(), target, cause, by="remit", why=cause.value.lower())
    return stop(batch, order, now=now, denying=denying, over_before=NEVER)


def in_parts(batch: Batch, move: UpdateBase, these: dict[str, Any]) -> list[Any]:
    """Moves grants, `AT_ONCE` with each statement, until none is left; returns what the statements do."""
    moved: list[Any] = []
    while True:
        part = batch.connection.execute(move, these).all()
        moved += part
        if len(part) < AT_ONCE:
            return moved
        batch.gets_on()


def _wanted(batch: Batch, order: RevokeOrder, these: dict[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Returns the denies that this revoke needs, one for each account where its credentials may still work."""
    required, found = order.cause.is_required, dict[tuple[str, str, str], datetime]()
    for account, actor, subject, task_id, until in batch.connection.execute(_OUT[order.target.kind], these).all():
        place = (account, *_pattern(order.target, actor, subject, task_id))
        found[place] = max(until, found.get(place, until))
    return [
        _deny(order, now, account=account, pattern=pattern, subject=subject, until=until, required=required)
        for (account, pattern, subject), until in sorted(found.items())
        if required or (until - now > SHORT and _has_room(batch, account, now))
    ]


def _pattern(target: Target, actor: str, subject: str, task_id: str) -> tuple[str, str]:
    """Returns the pattern of a target's sessions, and the subject part that it starts with, if it does."""
    match target.kind:
        case TargetKind.GRANT:
            return f"{subject}.{task_id}.{target.key}", subject
        case TargetKind.TASK:
            return f"{subject}.{target.key}.*", subject
        case TargetKind.SUBJECT:
            return f"{subject_part(target.issuer, target.key)}.*", subject_part(target.issuer, target.key)
        case TargetKind.ACTOR:
            return f"{actor}.*", ""
        case TargetKind.REVISION:
            return f"*.{revision_part(target.key)}", ""
        case _:
            assert_never(target.kind)


def _has_room(batch: Batch, account: str, now: datetime) -> bool:
    """Says whether a quarter of the room in an account's policies is free: the rest of it is for what matters more."""
    used: int = batch.connection.execute(_USED, {"account": account, "now": now}).scalar_one()
    return used < DENY_ROOM * 3 // 4


def _deny(
    order: RevokeOrder, now: datetime, *, account: str, pattern: str, subject: str, until: datetime, required: bool
) -> dict[str, Any]:
    """Returns the row of one deny."""
    by_actor = order.target.kind in {TargetKind.ACTOR, TargetKind.REVISION} and not subject
    is_lasting = pattern.count(".") > 1  # a grant or an ended task: it never issues again
    return {
        "revocation_id": order.revocation_id,
        "account": account,
        "tag": (DenyTag.BY if by_actor else DenyTag.GRANT).value,
        "pattern": pattern,
        "subject_part": subject,
        "issued_before": None if is_lasting else opened_before(now),
        "last_issued": now,
        "covers_until": until,
        "required": required,
        "revoke_time": now,
    }


def _revocation_row(order: RevokeOrder, now: datetime, count: int, event_time: datetime | None) -> dict[str, Any]:
    """Returns a revoke as its row."""
    return {
        "revocation_id": order.revocation_id,
        "target": order.target.kind.value,
        "target_key": order.target.key,
        "target_issuer": order.target.issuer,
        "revoke_time": now,
        "cause": order.cause.value,
        "by": order.by,
        "why": order.why,
        "grant_count": count,
        "block": order.block,
        "event_time": event_time,
    }
