"""What is recorded of tasks that agents hand on."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from remit_server.domain.audit import AuditRecord, Who


@dataclass(frozen=True, slots=True)
class TaskDelegated(AuditRecord):
    """An agent (`who`) opened a task under its own for another one, which works for the same user.

    `depth` says how many tasks there are above it.
    """

    kind: ClassVar[str] = "task_delegated"
    who: Who
    request_id: str
    task_id: str
    parent_task_id: str
    agent: str
    purpose: str
    end_time: datetime
    depth: int
