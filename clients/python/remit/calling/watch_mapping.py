"""Messages of watching a task, to values and back."""

from datetime import timedelta
from typing import Any

from remit.calling.mapping import time_of
from remit.grant import TaskEvent, TaskEventKind
from remit.v1 import credential_service_pb2 as service
from remit.v1 import types_pb2

_EVENT_KINDS = {
    value: TaskEventKind(name.removeprefix("TASK_EVENT_KIND_"))
    for name, value in service.TaskEventKind.items()
    if value
}


def watch_request(task_id: str, lease: timedelta | None) -> service.WatchTaskRequest:
    """Writes a request to watch a task; without a lease the one it has is left as it is."""
    message = service.WatchTaskRequest(task_id=task_id)
    if lease is not None:
        message.disconnect_grace.FromTimedelta(lease)
    return message


def task_event(message: service.WatchTaskResponse) -> TaskEvent:
    """Reads one event of a task."""
    return TaskEvent(
        kind=_EVENT_KINDS.get(message.kind, TaskEventKind.UNKNOWN),
        time=time_of(message, "time"),
        grants=tuple(message.grants),
        approval=message.approval or None,
        approval_state=_name_of(types_pb2.ApprovalState, message.approval_state, "APPROVAL_STATE_"),
        cause=_name_of(types_pb2.RevokeCause, message.cause, "REVOKE_CAUSE_"),
        lease_expire_time=time_of(message, "lease_expire_time"),
    )


def _name_of(enum: Any, value: int, prefix: str) -> str | None:
    """Returns the name of a value without what all names begin with; None for none, and for an unknown one."""
    return enum.Name(value).removeprefix(prefix) if value and value in enum.values() else None
