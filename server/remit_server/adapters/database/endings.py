"""How grants end, each way as one operation of a batch: a failure, what is taken back, the end of a task, the sweep."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Update, and_, bindparam, exists, select, update

from remit_server.adapters.database.batch import Batch
from remit_server.adapters.database.operations import moves
from remit_server.adapters.database.prepared import Prepared
from remit_server.adapters.database.rows import refusal_text
from remit_server.adapters.database.tables import grants, issuances, requests, tasks
from remit_server.application.ports import EndedTask
from remit_server.domain.audit import GrantExpired, GrantWithheld, IssuanceFailed, TaskEnded, Who
from remit_server.domain.decision import canonical_json
from remit_server.domain.errors import Denied, Reason, RemitError
from remit_server.domain.grant import Grant, GrantState, Issuance, sources_of
from remit_server.domain.identity import Actor
from remit_server.domain.task import GrantId, TaskId, TaskState

ORPHANED_AFTER = timedelta(seconds=60)
SWEPT_AT_ONCE = 500
_NEVER = datetime.min.replace(tzinfo=UTC)  # before every time guard

_TASK = Prepared(select(tasks).where(tasks.c.task_id == bindparam("task_id")))
# A grant that was ISSUED before stays so when a repeat fails: its earlier credentials live.
_OF_A_FIRST_CALL = and_(grants.c.grant_id == bindparam("this_grant"), grants.c.state == GrantState.AUTHORIZED.value)
_FAIL = moves(GrantState.FAILED).where(_OF_A_FIRST_CALL).values(state_time=bindparam("now"))
_WITHHOLD = (
    moves(GrantState.REVOKING).where(_OF_A_FIRST_CALL).values(state_time=bindparam("now"), revoke_time=bindparam("now"))
)
_STATE = select(grants.c.state).where(grants.c.grant_id == bindparam("this_grant"))
# Where there are other issuances, somebody has the credentials of one: the grant lives on.
_WITHHOLD_ISSUED = (
    moves(GrantState.REVOKING)
    .where(
        grants.c.grant_id == bindparam("this_grant"),
        ~exists().where(
            issuances.c.grant_id == grants.c.grant_id, issuances.c.access_key_id != bindparam("this_access_key")
        ),
    )
    .values(state_time=bindparam("now"), revoke_time=bindparam("now"))
    .returning(grants.c.task_id, grants.c.grant_id, grants.c.expire_time)
)
_REMEMBER_FAILURE = (
    update(requests)
    .where(
        requests.c.grant_id == bindparam("this_grant"),
        exists().where(grants.c.grant_id == requests.c.grant_id, grants.c.state == GrantState.FAILED.value),
    )
    .values(refusal=bindparam("why"))
)
_END_TASK = (
    update(tasks)
    .where(tasks.c.task_id == bindparam("this_task"), tasks.c.state == TaskState.LIVE.value)
    .values(
        state=TaskState.ENDED.value,
        ended_time=bindparam("now"),
        ended_grants=bindparam("stopped"),
        credentials_until=bindparam("until"),
    )
)
_STOP_GRANTS = (
    moves(GrantState.REVOKING)
    .where(grants.c.task_id == bindparam("this_task"), grants.c.expire_time > bindparam("over_before"))
    .values(state_time=bindparam("now"), revoke_time=bindparam("now"))
    .returning(grants.c.grant_id)
)
_OUT = (
    select(grants.c.expire_time)
    .where(
        grants.c.task_id == bindparam("this_task"),
        grants.c.state == GrantState.REVOKING.value,
        grants.c.expire_time > bindparam("over_before"),
        exists().where(issuances.c.grant_id == grants.c.grant_id),
    )
    .order_by(grants.c.expire_time.desc())
    .limit(1)
)
_ORPHANS = (
    select(grants.c.grant_id)
    .where(grants.c.state == GrantState.AUTHORIZED.value, grants.c.state_time <= bindparam("before"))
    .order_by(grants.c.state_time)
    .limit(SWEPT_AT_ONCE)
)
_SWEEP_ORPHANS = (
    moves(GrantState.REVOKING)
    .where(grants.c.grant_id.in_(_ORPHANS))
    .values(state_time=bindparam("now"), revoke_time=bindparam("now"))
    .returning(grants.c.task_id, grants.c.grant_id, grants.c.expire_time)
)
_PAST = (
    select(grants.c.grant_id)
    .where(grants.c.state.in_(sorted(sources_of(GrantState.EXPIRED))), grants.c.expire_time <= bindparam("now"))
    .order_by(grants.c.expire_time)
    .limit(bindparam("at_most"))
)
_SWEEP_PAST = (
    moves(GrantState.EXPIRED)
    .where(grants.c.grant_id.in_(_PAST))
    .values(state_time=bindparam("now"))
    .returning(grants.c.task_id, grants.c.grant_id, grants.c.expire_time)
)


def fail(
    batch: Batch, grant_id: GrantId, record: IssuanceFailed, refusal: Denied | None, *, credentials_may_exist: bool
) -> None:
    """Moves a grant that was never ISSUED to FAILED or REVOKING; a refusal says that it failed for good.

    The record says where the grant then stands, whoever moved it there.
    """
    this = {"this_grant": grant_id}
    batch.connection.execute(_WITHHOLD if credentials_may_exist else _FAIL, {**this, "now": batch.now})
    if refusal is not None and not credentials_may_exist:
        batch.connection.execute(_REMEMBER_FAILURE, {**this, "why": refusal_text(refusal)})
    state = batch.connection.execute(_STATE, this).scalar()
    batch.append(replace(record, state=state or record.state))


def take_back(batch: Batch, grant: Grant) -> None:
    """Moves a grant to FAILED that was AUTHORIZED after its caller had been refused: STS was never asked.

    As after any outage, the same request may then be tried again.
    """
    if batch.connection.execute(_FAIL, {"this_grant": grant.grant_id, "now": batch.now}).rowcount:
        why = Reason.LEDGER_UNAVAILABLE.value
        batch.append(IssuanceFailed(grant.task_id, grant.grant_id, why, GrantState.FAILED.value))


def withhold(batch: Batch, grant_id: GrantId, issuance: Issuance) -> None:
    """Moves a grant to REVOKING that was ISSUED after its caller had been refused, unless it was issued before too."""
    this = {"this_grant": grant_id, "this_access_key": issuance.access_key_id}
    why = "the issuance was recorded after its caller had been refused: nobody was given its credentials"
    for one in _swept(batch, _WITHHOLD_ISSUED, {**this, "now": batch.now}):
        batch.append(GrantWithheld(one["task_id"], one["grant_id"], why, one["expire_time"]))


def end_task(
    batch: Batch, task_id: TaskId, actor: Actor, now: datetime, *, clock_is_settled: bool
) -> EndedTask | RemitError:
    """Ends a task and stops its grants; at a repeat returns what the first one answered.

    While the clock is not settled no grant is taken for over by it.
    """
    row = _TASK.first(batch.connection, {"task_id": task_id})
    if row is None or row["actor_id"] != actor.actor_id:
        return Denied(Reason.NOT_FOUND, "There is no such task of this actor.")
    if row["ended_time"] is not None:
        return EndedTask(row["ended_time"], tuple(json.loads(row["ended_grants"])), row["credentials_until"])
    these = {"this_task": task_id, "now": now, "over_before": now if clock_is_settled else _NEVER}
    stopped = sorted(f"tasks/{task_id}/grants/{one}" for one in batch.connection.execute(_STOP_GRANTS, these).scalars())
    until = batch.connection.execute(_OUT, these).scalar()
    batch.connection.execute(_END_TASK, {**these, "stopped": canonical_json(stopped), "until": until})
    who = Who(
        subject_issuer=row["subject_issuer"],
        subject_id=row["subject_id"],
        actor_id=actor.actor_id,
        token_fingerprint=actor.token_fingerprint or "",
    )
    batch.append(TaskEnded(who, task_id, tuple(stopped), until))
    return EndedTask(now, tuple(stopped), until)


def sweep(batch: Batch, now: datetime) -> int:
    """Moves orphans to REVOKING and what is past its time guard to EXPIRED, each with its record."""
    orphans = _swept(batch, _SWEEP_ORPHANS, {"now": now, "before": now - ORPHANED_AFTER})
    why = "no outcome was recorded within 60 seconds: STS may have answered, and nobody was given credentials"
    batch.append(*(GrantWithheld(one["task_id"], one["grant_id"], why, one["expire_time"]) for one in orphans))
    past = _swept(batch, _SWEEP_PAST, {"now": now, "at_most": SWEPT_AT_ONCE - len(orphans)})
    batch.append(*(GrantExpired(one["task_id"], one["grant_id"], one["expire_time"]) for one in past))
    return len(orphans) + len(past)


def _swept(batch: Batch, move: Update, bounds: dict[str, Any]) -> Sequence[RowMapping]:
    """Moves grants and returns them in a stable order."""
    moved = batch.connection.execute(move, bounds).mappings().all()
    return sorted(moved, key=lambda row: (row["expire_time"], row["grant_id"]))
