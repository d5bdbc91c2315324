"""What leases write, each as one operation of a batch: taken, extended, extended for all, lost."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select, update

from remit_server.adapters.database.lifecycle import endings
from remit_server.adapters.database.revoking.stopped import new_revocation_id
from remit_server.adapters.database.schema.revocation_tables import presence
from remit_server.adapters.database.schema.rows import task_of
from remit_server.adapters.database.schema.tables import tasks
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared, Row
from remit_server.application.lifecycle.ports import Leased
from remit_server.domain.audit import Who
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.identity import Admitted
from remit_server.domain.lifecycle_records import LeasesExtended, LeaseTaken
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.task import TaskId, TaskState

NOBODY_SERVES_AFTER = timedelta(seconds=15)  # three sweeps of the only process
# An extension is written up to some seconds after the call it is for.
LOST_AFTER = timedelta(seconds=5)
LOST_AT_ONCE = 100
EXTENDED_AT_ONCE = 500

_TASK = Prepared(select(tasks).where(tasks.c.task_id == bindparam("task_id")))
_is_leased = (tasks.c.state == TaskState.LIVE.value, tasks.c.lease_until.is_not(None))
_TAKE = (
    update(tasks)
    .where(tasks.c.task_id == bindparam("this_task"))
    .values(lease_seconds=bindparam("seconds"), lease_until=bindparam("until"))
)
_OF_THESE = select(tasks.c.task_id, tasks.c.lease_seconds).where(
    tasks.c.task_id.in_(bindparam("these", expanding=True)), *_is_leased
)
_EXTEND = (
    update(tasks)
    .where(tasks.c.task_id.in_(bindparam("these", expanding=True)), *_is_leased)
    .values(lease_until=bindparam("until"))
)
_GRACES = select(tasks.c.lease_seconds, func.count()).where(*_is_leased).group_by(tasks.c.lease_seconds)
_EXTEND_ALL = (
    update(tasks)
    .where(tasks.c.lease_seconds == bindparam("seconds"), *_is_leased)
    .values(lease_until=bindparam("until"))
)
_SEEN = select(presence.c.seen_time).where(presence.c.id == 1)
_SEE = (
    update(presence)
    .where(presence.c.id == 1, presence.c.seen_time < bindparam("now"))
    .values(seen_time=bindparam("now"))
)
_LOST = (
    select(tasks)
    .where(*_is_leased, tasks.c.lease_until <= bindparam("before"))
    .order_by(tasks.c.lease_until, tasks.c.task_id)
    .limit(LOST_AT_ONCE)
)
_DROP = update(tasks).where(tasks.c.task_id == bindparam("this_task")).values(lease_until=None)


def take(batch: Batch, by: Admitted, task_id: TaskId, grace: timedelta | None) -> Leased | Denied:
    """Gives a live task of the actor's a lease, or another one, and extends it."""
    row = _TASK.first(batch.connection, {"task_id": task_id})
    if row is None or row["actor_id"] != by.actor.actor_id:
        return Denied(Reason.NOT_FOUND, "There is no such task of this actor.")
    task, before = task_of(row), row["lease_seconds"]
    seconds = before if grace is None else int(grace.total_seconds())
    if seconds is None or not task.is_live(batch.now):
        return Leased(task, None, None)
    until = batch.now + timedelta(seconds=seconds)
    batch.connection.execute(_TAKE, {"this_task": task_id, "seconds": seconds, "until": until})
    if seconds != before:
        batch.append(LeaseTaken(_who(row, by), task_id, seconds))
    return Leased(task, timedelta(seconds=seconds), until)


def extend(batch: Batch, task_ids: Collection[TaskId]) -> Mapping[TaskId, datetime]:
    """Extends the leases of those that live and have one; returns when each then runs out."""
    wanted, until = sorted(task_ids), dict[TaskId, datetime]()
    for start in range(0, len(wanted), EXTENDED_AT_ONCE):
        these = {"these": wanted[start : start + EXTENDED_AT_ONCE]}
        by_grace: dict[int, list[str]] = {}
        for task_id, seconds in batch.connection.execute(_OF_THESE, these).all():
            by_grace.setdefault(seconds, []).append(task_id)
            until[TaskId(task_id)] = batch.now + timedelta(seconds=seconds)
        for seconds, equal in sorted(by_grace.items()):
            batch.connection.execute(_EXTEND, {"these": equal, "until": batch.now + timedelta(seconds=seconds)})
    return until


def sweep(batch: Batch, *, denying: bool) -> int:
    """Ends the tasks whose lease has run out; time in which no gateway served does not count."""
    now = batch.now
    seen: datetime | None = batch.connection.execute(_SEEN).scalar()
    batch.connection.execute(_SEE, {"now": now})
    if seen is None or now - seen > NOBODY_SERVES_AFTER:
        _extend_all(batch, nobody_since=seen or now)
        return 0
    lost = batch.connection.execute(_LOST, {"before": now - LOST_AFTER}).mappings().all()
    for task in lost:
        _lose(batch, {str(key): value for key, value in task.items()}, denying=denying)
    return len(lost)


def _extend_all(batch: Batch, *, nobody_since: datetime) -> None:
    """Gives every lease its full grace again."""
    leases = 0
    for seconds, count in sorted(batch.connection.execute(_GRACES).all()):
        leases += count
        until = batch.now + timedelta(seconds=seconds)
        batch.connection.execute(_EXTEND_ALL, {"seconds": seconds, "until": until})
    if leases:
        batch.append(LeasesExtended(nobody_since, leases))


def _lose(batch: Batch, task: Row, *, denying: bool) -> None:
    """Ends a task that nobody kept; one whose time is over has ended by itself."""
    if task["end_time"] <= batch.now:
        batch.connection.execute(_DROP, {"this_task": task["task_id"]})
        return
    order = RevokeOrder(
        new_revocation_id(),
        Target(TargetKind.TASK, task["task_id"]),
        RevokeCause.LEASE_LOST,
        by="remit",
        why=f"nobody kept the task for {task['lease_seconds']} seconds",
    )
    endings.end(batch, task, order, now=batch.now, denying=denying)


def _who(row: Row, by: Admitted) -> Who:
    return Who(
        subject_issuer=row["subject_issuer"],
        subject_id=row["subject_id"],
        actor_id=by.actor.actor_id,
        token_fingerprint=by.actor.token_fingerprint or "",
        peer=by.peer,
    )
