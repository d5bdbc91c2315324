"""The `TaskNews` port on the ledger's database: records of the chain as those who watch a task are told of them."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, RowMapping, bindparam, select

from remit_server.adapters.database.schema.approval_tables import approvals
from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.schema.tables import audit_events, grants, tasks
from remit_server.adapters.database.writing.store import Store
from remit_server.application.lifecycle.ports import Signal
from remit_server.domain.approval import ApprovalKind, ApprovalState
from remit_server.domain.audit import CredentialsIssued, TaskEnded
from remit_server.domain.grant import GrantState
from remit_server.domain.lifecycle_records import ApprovalClosed, ApprovalDecided, CredentialsRenewed, GrantsRevoked
from remit_server.domain.revocation import RevokeCause, TargetKind
from remit_server.domain.task import TaskId
from remit_server.domain.task_event import TaskEvent, TaskEventKind

Told: TypeAlias = tuple[TaskId, TaskEvent]
AT_ONCE: Final = 500
MOST_TOLD: Final = 50  # approvals of a task, to somebody who comes back
_TOLD: Final = frozenset(
    each.kind
    for each in (CredentialsIssued, CredentialsRenewed, GrantsRevoked, ApprovalDecided, ApprovalClosed, TaskEnded)
)
_EVENTS = select(audit_events.c.sequence, audit_events.c.time, audit_events.c.kind, audit_events.c.body).where(
    audit_events.c.sequence.in_(bindparam("sequences", expanding=True))
)
_REVOKED_BY = select(grants.c.task_id, grants.c.grant_id).where(
    grants.c.revocation_id == bindparam("revocation"), grants.c.task_id.in_(bindparam("these", expanding=True))
)
_TASK = select(tasks.c.ended_time).where(tasks.c.task_id == bindparam("task_id"))
_WHY_ENDED = (
    select(revocations.c.cause)
    .where(revocations.c.target_key == bindparam("task_id"), revocations.c.target == TargetKind.TASK.value)
    .order_by(revocations.c.revoke_time)
    .limit(1)
)
_REVOKED = (
    select(grants.c.grant_id, grants.c.revoke_time, grants.c.revoke_cause)
    .where(
        grants.c.task_id == bindparam("task_id"),
        grants.c.state.in_([GrantState.REVOKING.value, GrantState.REVOKED.value]),
    )
    .order_by(grants.c.revoke_time, grants.c.grant_id)
)
_DECIDED = (
    select(approvals.c.approval_id, approvals.c.state, approvals.c.decide_time, approvals.c.lapse_time)
    .where(
        approvals.c.task_id == bindparam("task_id"),
        approvals.c.kind == ApprovalKind.BEFORE.value,
        approvals.c.state.not_in([ApprovalState.PENDING.value, ApprovalState.USED.value]),
    )
    .order_by(approvals.c.create_time.desc())
    .limit(MOST_TOLD)
)


class DatabaseTaskNews:
    """Reads what happened to tasks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def standing(self, task_id: TaskId, /) -> Sequence[TaskEvent]:
        """Returns what somebody who did not watch has missed and must know."""
        return await self._store.read(partial(_standing, task_id))

    async def told(
        self, signals: Sequence[Signal], watched: Collection[TaskId], /
    ) -> Sequence[tuple[TaskId, TaskEvent]]:
        """Returns what these signals tell of the tasks that are watched, in their order."""
        known = frozenset(watched)
        wanted = [one.sequence for one in signals if one.kind in _TOLD and (not one.task_id or one.task_id in known)]
        return await self._store.read(partial(_told, wanted, known)) if wanted else ()


def _standing(task_id: TaskId, connection: Connection) -> list[TaskEvent]:
    this = {"task_id": task_id}
    ended: datetime | None = connection.execute(_TASK, this).scalar()
    if ended is not None:
        why = connection.execute(_WHY_ENDED, this).scalar()
        return [TaskEvent(TaskEventKind.ENDED, ended, cause=RevokeCause(why) if why else RevokeCause.TASK_ENDED)]
    by_revoke: dict[tuple[datetime, str], list[str]] = {}
    for grant_id, time, cause in connection.execute(_REVOKED, this).all():
        by_revoke.setdefault((time, cause), []).append(_name(task_id, grant_id))
    told = [
        TaskEvent(TaskEventKind.REVOKED, time, tuple(names), cause=RevokeCause(cause) if cause else None)
        for (time, cause), names in by_revoke.items()
    ]
    told += [
        _approval(one["decide_time"] or one["lapse_time"], one["approval_id"], one["state"])
        for one in connection.execute(_DECIDED, this).mappings()
    ]
    return sorted(told, key=lambda event: event.time)


def _told(
    sequences: Sequence[int], watched: frozenset[TaskId], connection: Connection
) -> list[tuple[TaskId, TaskEvent]]:
    rows: list[RowMapping] = []
    for start in range(0, len(sequences), AT_ONCE):
        these = {"sequences": sequences[start : start + AT_ONCE]}
        rows += connection.execute(_EVENTS, these).mappings().all()
    return [
        one
        for row in sorted(rows, key=lambda row: int(row["sequence"]))
        for one in _of_record(row["kind"], row["time"], json.loads(row["body"]), watched, connection)
        if one[0] in watched
    ]


def _of_record(
    kind: str, time: datetime, body: Mapping[str, Any], watched: frozenset[TaskId], connection: Connection
) -> Iterator[Told]:
    """Yields what one record tells of the tasks that are watched."""
    task_id = TaskId(body["task_id"])
    match kind:
        case CredentialsIssued.kind:
            yield task_id, TaskEvent(TaskEventKind.ISSUED, time, (_name(task_id, body["grant_id"]),))
        case CredentialsRenewed.kind:
            how = TaskEventKind.NARROWED if body["narrowed"] else TaskEventKind.RENEWED
            yield task_id, TaskEvent(how, time, (_name(task_id, body["grant_id"]),))
        case TaskEnded.kind:
            yield task_id, TaskEvent(TaskEventKind.ENDED, time, cause=RevokeCause(body["cause"]))
        case ApprovalDecided.kind | ApprovalClosed.kind:
            yield task_id, _approval(time, body["approval_id"], body["state"])
        case GrantsRevoked.kind:
            cause = RevokeCause(body["cause"])
            for revoked, names in _revoked(body, watched, connection):
                yield revoked, TaskEvent(TaskEventKind.REVOKED, time, names, cause=cause)
        case _:
            return


def _revoked(
    body: Mapping[str, Any], watched: frozenset[TaskId], connection: Connection
) -> Iterator[tuple[TaskId, tuple[str, ...]]]:
    """Yields the grants that a revoke ended, of each watched task that it touched."""
    if body["task_id"]:
        yield TaskId(body["task_id"]), tuple(body["grants"])
        return
    found: dict[TaskId, list[str]] = {}
    everybody = sorted(watched)
    for start in range(0, len(everybody), AT_ONCE):
        these = {"revocation": body["revocation_id"], "these": everybody[start : start + AT_ONCE]}
        for task_id, grant_id in connection.execute(_REVOKED_BY, these).all():
            found.setdefault(TaskId(task_id), []).append(_name(task_id, grant_id))
    for task_id, names in found.items():
        yield task_id, tuple(sorted(names))


def _approval(time: datetime, approval_id: str, state: str) -> TaskEvent:
    return TaskEvent(TaskEventKind.APPROVAL_DECIDED, time, approval_id=approval_id, approval_state=ApprovalState(state))


def _name(task_id: str, grant_id: str) -> str:
    return f"tasks/{task_id}/grants/{grant_id}"
