"""Tasks under tasks, each opened in one transaction that holds the one above to being live and the caller's own."""

from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import bindparam, func, insert, literal, select

from remit_server.adapters.database.revoking.presented import refusal_of_presented
from remit_server.adapters.database.schema.delegation_tables import delegations
from remit_server.adapters.database.schema.rows import TASK_COLUMNS, task_of, task_row
from remit_server.adapters.database.schema.tables import tasks
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.operations import not_live
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.adapters.database.writing.store import Store
from remit_server.application.delegating.delegate_task import DelegateRequest, NewDelegation, end_of
from remit_server.application.ports import Presented
from remit_server.domain.audit import Who
from remit_server.domain.delegation_records import TaskDelegated
from remit_server.domain.entitlement import MIN_CREDENTIAL_LIFETIME
from remit_server.domain.errors import (
    Denied,
    FieldViolation,
    InvalidRequest,
    Outage,
    Reason,
    Refusal,
    Remedy,
    RemitError,
)
from remit_server.domain.task import Task, TaskState

MOST_UNDER: Final = 100  # tasks that live under one first task: they all end with it, in one transaction
_RETRY_AFTER: Final = timedelta(seconds=30)

_TASK: Final = Prepared(select(tasks).where(tasks.c.task_id == bindparam("task_id")))
_KNOWN: Final = Prepared(
    select(delegations.c.content_hash, tasks)
    .join(tasks, tasks.c.task_id == delegations.c.task_id)
    .where(delegations.c.actor_id == bindparam("actor_id"), delegations.c.request_id == bindparam("request_id"))
)
_ADD_TASK: Final = Prepared(insert(tasks), columns=TASK_COLUMNS)
_ADD: Final = Prepared(insert(delegations))
_up = select(tasks.c.task_id, tasks.c.parent_task_id).where(tasks.c.task_id == bindparam("task_id")).cte(recursive=True)
_over = tasks.alias("over")
_above = _up.union(select(_over.c.task_id, _over.c.parent_task_id).where(_over.c.task_id == _up.c.parent_task_id))
_FIRST: Final = Prepared(select(_above.c.task_id).where(_above.c.parent_task_id.is_(None)))
_down = select(tasks.c.task_id).where(tasks.c.task_id == bindparam("task_id")).cte(recursive=True)
_under = tasks.alias("under")
_below = _down.union(
    select(_under.c.task_id).where(
        _under.c.parent_task_id == _down.c.task_id,
        _under.c.state == literal(TaskState.LIVE.value),
        _under.c.end_time > bindparam("now"),
    )
)
_LIVE_UNDER: Final = Prepared(select((func.count() - 1).label("count")).select_from(_below))


class DatabaseDelegations:
    """Opens tasks under tasks (implements `application.delegating.delegate_task.Delegations`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(self, new: NewDelegation, /) -> Task:
        """Writes the task and its record; at a repeat of the request returns the task that it opened."""
        return await self._store.commit(partial(delegate, new=new))


def delegate(batch: Batch, new: NewDelegation) -> Task | RemitError:
    """Opens a task under a live task of the caller's, unless that is too deep or there are too many."""
    request, key = new.request, new.request.key
    known = _KNOWN.first(batch.connection, {"actor_id": key.actor_id, "request_id": key.request_id})
    if known is not None:
        if known["content_hash"] != key.content_hash:
            return InvalidRequest([FieldViolation("request_id", "was used for another request: choose a new UUID")])
        return task_of(known)
    row = _TASK.first(batch.connection, {"task_id": request.task_id})
    above = None if row is None else task_of(row)
    if above is None or above.actor_id != key.actor_id:
        return Denied(Reason.NOT_FOUND, "There is no such task of this actor.")
    if lost := _lost(batch, new, above):
        return lost
    task = _task(new, above, batch)
    _ADD_TASK.run(batch.connection, task_row(task))
    tied = {"actor_id": key.actor_id, "request_id": key.request_id, "content_hash": key.content_hash}
    _ADD.run(batch.connection, {**tied, "task_id": task.task_id, "write_time": batch.now})
    batch.append(_record(request, task))
    return task


def _lost(batch: Batch, new: NewDelegation, above: Task) -> RemitError | None:
    """Returns why this agent may not hand on this task of its own, or None."""
    actor = new.request.by.actor
    presented = Presented(
        subject_issuer=above.subject_issuer,
        subject_id=above.subject_id,
        subject_token_time=batch.now,  # none comes with it: only a block of the user counts
        actor_id=actor.actor_id,
        actor_token_time=actor.token_issue_time,
        policy_revision="",
    )
    if refused := refusal_of_presented(batch.connection, presented):
        return refused
    if not above.is_live(batch.now):
        return not_live()
    if end_of(new.request, above, batch.now) - batch.now < MIN_CREDENTIAL_LIFETIME:
        seconds = int(MIN_CREDENTIAL_LIFETIME.total_seconds())
        message = f"Less than {seconds} s are left of the task: start a new one, and hand that on."
        return Denied(Reason.GRANT_NOT_LIVE, message, Refusal(remedy=Remedy.REAUTHENTICATE))
    if above.depth + 1 > new.deepest:
        return _too_deep(new.deepest)
    return _too_many(batch, above)


def _too_deep(deepest: int) -> Denied:
    allowed = "agents of this gateway hand nothing on" if not deepest else f"tasks stand at most {deepest} deep"
    message = f"{allowed} ([limits] delegation_depth): do this part of the work yourself, or give it back"
    return Denied(Reason.DELEGATION_TOO_DEEP, message)


def _too_many(batch: Batch, above: Task) -> Outage | None:
    """Returns the refusal of one more task, or None while there is room under the first task of all above."""
    first = _FIRST.first(batch.connection, {"task_id": above.task_id})
    these = {"task_id": above.task_id if first is None else first["task_id"], "now": batch.now}
    row = _LIVE_UNDER.first(batch.connection, these)
    if row is not None and row["count"] < MOST_UNDER:
        return None
    message = f"{MOST_UNDER} tasks that were handed on are live under the same first task: end one, or wait"
    return Outage(Reason.RATE_LIMITED, message, retry_after=_RETRY_AFTER)


def _task(new: NewDelegation, above: Task, batch: Batch) -> Task:
    """Returns the task for the other agent: the same user's, with the labels of the one above."""
    return Task(
        task_id=new.task_id,
        subject_issuer=above.subject_issuer,
        subject_id=above.subject_id,
        actor_id=new.request.agent,
        purpose=new.request.purpose,
        labels=above.labels,
        state=TaskState.LIVE,
        start_time=batch.now,
        end_time=end_of(new.request, above, batch.now),
        parent_task_id=above.task_id,
        depth=above.depth + 1,
    )


def _record(request: DelegateRequest, task: Task) -> TaskDelegated:
    by = request.by
    who = Who(
        subject_issuer=task.subject_issuer,
        subject_id=task.subject_id,
        actor_id=by.actor.actor_id,
        token_fingerprint=by.actor.token_fingerprint or "",
        peer=by.peer,
    )
    return TaskDelegated(
        who=who,
        request_id=request.request_id,
        task_id=task.task_id,
        parent_task_id=request.task_id,
        agent=task.actor_id,
        purpose=task.purpose,
        end_time=task.end_time,
        depth=task.depth,
    )
