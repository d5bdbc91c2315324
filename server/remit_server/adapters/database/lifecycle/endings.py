"""How grants end, each way as one operation of a batch: a failure, what is taken back, the end of a task, the sweep."""

import json
from dataclasses import replace
from datetime import datetime

from sqlalchemy import RowMapping, and_, bindparam, exists, select, update

from remit_server.adapters.database.revoking.covering import NEVER
from remit_server.adapters.database.revoking.revoking import stop, stop_one
from remit_server.adapters.database.revoking.stopped import Stopped, new_revocation_id, order_below
from remit_server.adapters.database.schema.rows import refusal_text
from remit_server.adapters.database.schema.tables import grants, issuances, requests, tasks
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.operations import moves
from remit_server.adapters.database.writing.prepared import Prepared, Row
from remit_server.application.ports import EndedTask
from remit_server.domain.audit import GrantWithheld, IssuanceFailed, TaskEnded, Who
from remit_server.domain.decision import canonical_json
from remit_server.domain.errors import Denied, Reason, RemitError
from remit_server.domain.grant import Grant, GrantState, Issuance
from remit_server.domain.identity import Actor
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.task import GrantId, TaskId, TaskState

_TASK = Prepared(select(tasks).where(tasks.c.task_id == bindparam("task_id")))
_TASKS_UNDER = Prepared(
    select(tasks)
    .where(tasks.c.parent_task_id == bindparam("task_id"), tasks.c.state == TaskState.LIVE.value)
    .order_by(tasks.c.task_id)
)
# A grant that was ISSUED before stays so when a repeat fails: its earlier credentials live.
_OF_A_FIRST_CALL = and_(grants.c.grant_id == bindparam("this_grant"), grants.c.state == GrantState.AUTHORIZED.value)
_FAIL = moves(GrantState.FAILED).where(_OF_A_FIRST_CALL).values(state_time=bindparam("now"))
_STATE = select(grants.c.state).where(grants.c.grant_id == bindparam("this_grant"))
# Where there are other issuances, somebody has the credentials of one: the grant lives on.
_NOBODYS = select(grants.c.task_id, grants.c.grant_id, grants.c.expire_time).where(
    grants.c.grant_id == bindparam("this_grant"),
    ~exists().where(
        issuances.c.grant_id == grants.c.grant_id, issuances.c.access_key_id != bindparam("this_access_key")
    ),
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
        ended_denying=bindparam("denying"),
        lease_until=None,
    )
)


def fail(
    batch: Batch,
    grant_id: GrantId,
    record: IssuanceFailed,
    refusal: Denied | None,
    *,
    credentials_may_exist: bool,
    denying: bool,
) -> None:
    """Moves a grant that was never ISSUED to FAILED or REVOKING; a refusal says that it failed for good.

    The record says where the grant then stands, whoever moved it there.
    """
    this = {"this_grant": grant_id}
    if not credentials_may_exist:
        batch.connection.execute(_FAIL, {**this, "now": batch.now})
    elif batch.connection.execute(_STATE, this).scalar() == GrantState.AUTHORIZED.value:
        stop_one(batch, grant_id, RevokeCause.ORPHANED, now=batch.now, denying=denying)
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


def withhold(batch: Batch, grant_id: GrantId, issuance: Issuance, *, denying: bool) -> None:
    """Moves a grant to REVOKING that was ISSUED after its caller had been refused, unless it was issued before too."""
    these = {"this_grant": grant_id, "this_access_key": issuance.access_key_id}
    why = "the issuance was recorded after its caller had been refused: nobody was given its credentials"
    for one in batch.connection.execute(_NOBODYS, these).mappings():
        withheld(batch, one, why, now=batch.now, denying=denying)


def withheld(batch: Batch, grant: RowMapping, why: str, *, now: datetime, denying: bool) -> None:
    """Stops a grant whose credentials nobody was given, and puts it on record."""
    if stop_one(batch, grant["grant_id"], RevokeCause.ORPHANED, now=now, denying=denying).grants:
        batch.append(GrantWithheld(grant["task_id"], grant["grant_id"], why, grant["expire_time"]))


def end_task(
    batch: Batch, task_id: TaskId, actor: Actor, now: datetime, *, clock_is_settled: bool, denying: bool
) -> EndedTask | RemitError:
    """Ends a task of the actor's and stops its grants; at a repeat returns what the first one answered.

    While the clock is not settled no grant is taken for over by it.
    """
    row = _TASK.first(batch.connection, {"task_id": task_id})
    if row is None or row["actor_id"] != actor.actor_id:
        return Denied(Reason.NOT_FOUND, "There is no such task of this actor.")
    if row["ended_time"] is not None:
        grants_then = tuple(json.loads(row["ended_grants"]))
        return EndedTask(row["ended_time"], grants_then, row["credentials_until"], row["ended_denying"])
    by = RevokeOrder(
        new_revocation_id(),
        Target(TargetKind.TASK, task_id),
        RevokeCause.TASK_ENDED,
        by=actor.actor_id,
        why="its actor ended the task",
    )
    over_before = now if clock_is_settled else NEVER
    stopped = end(
        batch, row, by, now=now, denying=denying, over_before=over_before, token=actor.token_fingerprint or ""
    )
    return EndedTask(now, stopped.names, stopped.until, stopped.denying)


def end(
    batch: Batch,
    task: Row,
    order: RevokeOrder,
    *,
    now: datetime,
    denying: bool,
    over_before: datetime | None = None,
    token: str = "",
) -> Stopped:
    """Ends a live task, whose row it is, and every task under it, for whatever cause.

    Their grants stop, and each is on record.
    """
    under = []
    for child in _TASKS_UNDER.all(batch.connection, {"task_id": task["task_id"]}):
        below = order_below(order, Target(TargetKind.TASK, child["task_id"]), "the task above it is over")
        under.append(end(batch, child, below, now=now, denying=denying, over_before=over_before))
        batch.gets_on()
    stopped = stop(batch, order, now=now, denying=denying, over_before=over_before).with_those_below(under)
    these = {"this_task": task["task_id"], "now": now, "until": stopped.until, "denying": stopped.denying}
    batch.connection.execute(_END_TASK, {**these, "stopped": canonical_json(list(stopped.names))})
    who = Who(
        subject_issuer=task["subject_issuer"],
        subject_id=task["subject_id"],
        actor_id=task["actor_id"],
        token_fingerprint=token,
    )
    cause = order.cause.value
    batch.append(TaskEnded(who, task["task_id"], stopped.grants, stopped.until, cause, stopped.denying))
    return stopped
