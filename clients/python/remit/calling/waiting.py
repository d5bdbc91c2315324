"""Waiting for people who approve: what is waited for, how long, and how often it is asked meanwhile."""

import logging
import random
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from remit.errors import ApprovalPending
from remit.v1 import credential_service_pb2 as service
from remit.v1 import types_pb2

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0  # seconds
_log = logging.getLogger("remit")
_random = random.SystemRandom()
Answer = TypeVar(
    "Answer",
    bound=service.IssueCredentialsResponse | service.RenewCredentialsResponse | service.AttenuateCredentialsResponse,
)


class Patience:
    """Counts the time of one wait; without `timeout` there is none, and the first pending approval is raised."""

    def __init__(self, timeout: timedelta | None) -> None:
        self._until = None if timeout is None else time.monotonic() + timeout.total_seconds()
        self._pause = FIRST_PAUSE
        self._is_told = False

    def pause(self, pending: ApprovalPending) -> float:
        """Returns the seconds until it is asked again; raises the pending approval once the time is over."""
        left = 0.0 if self._until is None else self._until - time.monotonic()
        if left <= 0:
            raise pending
        if not self._is_told:
            self._is_told = True
            _log.info("waiting for people to approve %s", _told(pending))
        pause, self._pause = self._pause, min(self._pause * 1.5, LONGEST_PAUSE)
        return min(pause * _random.uniform(0.75, 1.0), left)


def _told(pending: ApprovalPending) -> str:
    """Returns which approval is waited for, who may decide it and until when, in one line."""
    who = " or ".join(filter(None, (", ".join(pending.groups), "the user in person" if pending.by_subject else "")))
    until = f", until {pending.lapse_time:%F %T} UTC" if pending.lapse_time else ""
    return f"{pending.approval} ({who or 'nobody was named'}{until})"


def pending(message: Answer, task_id: str, request_id: str | None) -> ApprovalPending:
    """Reads what is waited for."""
    waits = message.approval if isinstance(message, service.IssueCredentialsResponse) else types_pb2.Approval()
    lapse_time: datetime | None = None
    if waits.HasField("lapse_time"):
        with suppress(ValueError, OverflowError):
            lapse_time = waits.lapse_time.ToDatetime(tzinfo=UTC)
    return ApprovalPending(
        "people have to approve this before credentials are issued",
        reason="APPROVAL_PENDING",
        request_id=request_id,
        approval=waits.name,
        task_id=task_id,
        digest=waits.digest,
        groups=tuple(waits.groups),
        min_approvers=waits.min_approvers,
        by_subject=waits.by_subject,
        lapse_time=lapse_time,
    )
