"""What stands above a task: the task under which it was handed on, and what that one's agent holds."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, or_, select

from remit_server.adapters.database.schema.rows import grant_of, task_of
from remit_server.adapters.database.schema.tables import grants, issuances, tasks
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.application.ports import TaskAbove
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.task import TaskId

MOST_GRANTS: Final = 16  # of the task above that count: those that last longest
_below = tasks.alias("below")
_ABOVE: Final = Prepared(
    select(tasks)
    .join(_below, _below.c.parent_task_id == tasks.c.task_id)
    .where(_below.c.task_id == bindparam("task_id"))
)
_GRANTS: Final = Prepared(
    select(grants)
    .where(
        grants.c.task_id == bindparam("task_id"),
        grants.c.state == GrantState.ISSUED.value,
        grants.c.expire_time > bindparam("now"),
        or_(grants.c.parent_task_id.is_(None), grants.c.parent_task_id != grants.c.task_id),
    )
    .order_by(grants.c.expire_time.desc(), grants.c.grant_id)
    .limit(MOST_GRANTS)
)
_ISSUANCES: Final = Prepared(
    select(issuances).where(issuances.c.grant_id == bindparam("grant_id")).order_by(issuances.c.number)
)


def task_above(task_id: TaskId, now: datetime, connection: Connection) -> TaskAbove | None:
    """Returns the task above a task, with its live grants; None for a task that stands under none."""
    row = _ABOVE.first(connection, {"task_id": task_id})
    if row is None:
        return None
    found = [
        grant_of(one, _ISSUANCES.all(connection, {"grant_id": one["grant_id"]}))
        for one in _GRANTS.all(connection, {"task_id": row["task_id"], "now": now})
    ]
    return TaskAbove(task_of(row), tuple(sorted((one for one in found if now < one.policy_end), key=_last_first)))


def _last_first(grant: Grant) -> tuple[float, str]:
    return -grant.policy_end.timestamp(), grant.grant_id
