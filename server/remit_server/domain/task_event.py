"""What is told to whoever watches a task."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from remit_server.domain.approval import ApprovalState
from remit_server.domain.revocation import RevokeCause


class TaskEventKind(StrEnum):
    """What happened; with a HEARTBEAT nothing did, and the lease was extended."""

    HEARTBEAT = "HEARTBEAT"
    ISSUED = "ISSUED"
    RENEWED = "RENEWED"
    NARROWED = "NARROWED"
    REVOKED = "REVOKED"
    APPROVAL_DECIDED = "APPROVAL_DECIDED"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a task. `grants` are names; with a revoke or an end none means all of the task's."""

    kind: TaskEventKind
    time: datetime
    grants: tuple[str, ...] = ()
    approval_id: str = ""
    approval_state: ApprovalState | None = None
    cause: RevokeCause | None = None
    lease_expire_time: datetime | None = None
