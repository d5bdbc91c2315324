"""When credentials and their task end, and who has to say yes or reviews it: what entitlements amount to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from remit_server.domain.approval import ApprovalNeed, joined
from remit_server.domain.entitlement import DEFAULT_CREDENTIAL_LIFETIME, MIN_CREDENTIAL_LIFETIME, Entitlement, Role
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy


class TaskSpan(Protocol):
    """From when to when a task may last: all of a task that planning goes by."""

    @property
    def start_time(self) -> datetime:
        """When it began."""
        ...

    @property
    def end_time(self) -> datetime:
        """When it ends at the latest."""
        ...


@dataclass(frozen=True, slots=True)
class Life:
    """When the credentials end and when the task does, and how long credentials may work, whenever that begins."""

    expire_time: datetime
    task_end_time: datetime
    duration: timedelta


def lifetime(
    role: Role,
    entitlements: Sequence[Entitlement],
    *,
    now: datetime,
    requested: timedelta | None,
    task: TaskSpan | None,
    ends: Sequence[datetime],
) -> Life:
    """Returns the lifetimes (4-policy.md, Lifetime): a longer wish is cut, and nothing outlives one of the `ends`.

    Raises Denied(GRANT_NOT_LIVE) when too little time is left.
    """
    longest_task = min(item.max_task for item in entitlements)
    start = task.start_time if task else now
    task_end = start + longest_task if task is None else min(task.end_time, start + longest_task)
    wanted = requested or DEFAULT_CREDENTIAL_LIFETIME
    allowed = min(wanted, role.max_session, *(item.max_credential for item in entitlements))
    expire_time = min(now + allowed, task_end, *ends).replace(microsecond=0)
    if expire_time - now < MIN_CREDENTIAL_LIFETIME - timedelta(seconds=1):
        seconds = int(MIN_CREDENTIAL_LIFETIME.total_seconds())
        raise Denied(
            Reason.GRANT_NOT_LIVE,
            f"less than {seconds} s are left of the task, of its approval or of the user's token: "
            "start a new task with a fresh token",
            Refusal(remedy=Remedy.REAUTHENTICATE),
        )
    return Life(expire_time, task_end.replace(microsecond=0), allowed)


def needs(entitlements: Sequence[Entitlement]) -> tuple[ApprovalNeed | None, ApprovalNeed | None]:
    """Returns who has to say yes before, and who reviews afterwards what is issued by break-glass.

    Where people are waited for anyway nothing is skipped: those who would review are asked before as well.
    """
    if not any(item.approval is not None for item in entitlements):
        return None, None
    need = joined(item.approval for item in entitlements if item.approval is not None)
    waits = any(item.approval is not None and not item.is_break_glass for item in entitlements)
    return (need, None) if waits else (None, need)
