"""One wish and the task that serves it: begun once for all who ask, its credentials handed out until it is over."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from remit.errors import ApprovalPending, RemitError, TaskOver
from remit.grant import Credentials
from remit.local.errors import SharedTaskOver
from remit.local.wishes import Wish
from remit.task import Task

FAILURE_LASTS = timedelta(seconds=2)  # tools ask three times in a row, and fifty of them at once
FORGOTTEN_AFTER = timedelta(minutes=15)  # what has no credentials out and nobody asked for
RENEWED_BEFORE = timedelta(seconds=120)
SOMEBODYS_WORD = frozenset({"REQUESTED", "SECURITY_EVENT", "REVIEW"})


class HeldState(StrEnum):
    """Where a wish stands."""

    NEW = "new"
    LIVE = "live"
    PENDING = "waits for approval"
    REFUSED = "refused"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Keeping:
    """How tasks are kept.

    `restarts`: one that ended by itself is followed by another. `ends_idle`: it is ended when what it last gave has
    expired and nobody came. `stays_warm`: it is renewed without being asked.
    """

    restarts: bool = False
    ends_idle: bool = True
    stays_warm: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """What is told of a held task: never a key."""

    handle: str
    state: HeldState
    purpose: str
    task_id: str | None
    subject: str | None
    expire_time: datetime | None
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON takes it."""
        return {
            "handle": self.handle,
            "state": self.state.value,
            "purpose": self.purpose,
            "task_id": self.task_id,
            "subject": self.subject,
            "expire_time": self.expire_time.isoformat() if self.expire_time else None,
            "reason": self.reason,
        }


class Held:
    """One wish; safe to share between threads.

    `begin` asks the gateway, given the request id to come back to. `failed` is told of every failure.
    """

    def __init__(
        self,
        handle: str,
        wish: Wish,
        begin: Callable[[str | None], Task],
        keeping: Keeping,
        failed: Callable[[RemitError], None],
    ) -> None:
        self.handle = handle
        self.wish = wish
        self._begin = begin
        self._keeping = keeping
        self._failed = failed
        self._lock = threading.Lock()
        self._beginning: Future[Task] | None = None
        self._task: Task | None = None
        self._closed = False
        self._request_id = wish.request_id
        self._failure: RemitError | None = None
        self._failure_time = self._asked_time = datetime.now(UTC)
        self._given_until: datetime | None = None

    def credentials(self) -> Credentials:
        """Returns credentials that work now, beginning the task if need be; raises RemitError. Blocks."""
        self._asked_time = datetime.now(UTC)
        task = self._begun()
        try:
            found = task.credentials()
        except TaskOver as over:
            if not self._keeping.restarts:
                self._fail(over)
                raise
            if over.cause in SOMEBODYS_WORD:
                final = SharedTaskOver(over.message, reason=over.reason, cause=over.cause, task_id=task.id)
                self._fail(final)
                raise final from None
            self._replace(task)
            found = self._begun().credentials()
        except RemitError as error:
            self._fail(error)
            raise
        self._given_until = found.expire_time
        return found

    @property
    def task(self) -> Task | None:
        """The task, once it has begun."""
        return self._task

    def status(self) -> Status:
        """Returns what may be told of it."""
        task, failure = self._task, self._failure
        return Status(
            handle=self.handle,
            state=self._state(),
            purpose=self.wish.purpose,
            task_id=task.id if task else getattr(failure, "task_id", None) or None,
            subject=task.grant.subject.id if task else None,
            expire_time=task.grant.expire_time if task else None,
            reason=failure.reason if failure else None,
        )

    def end(self) -> str | None:
        """Ends the task, for good; returns its id, None where none had begun. Raises RemitError."""
        with self._lock:
            self._closed = True
            task, beginning = self._task, self._beginning
        if task is None and beginning is not None:
            with suppress(Exception):  # then none has begun
                task = beginning.result()
        if task is None:
            return None
        task.end()
        return task.id

    def drop(self) -> None:
        """Gives nothing from here on, where there is no task to be ended."""
        with self._lock:
            self._closed = True

    def is_idle(self, now: datetime) -> bool:
        """Says whether nothing that it gave is good any more and nobody has come for a while."""
        if self._beginning is not None or not self._keeping.ends_idle:
            return False
        if self._task is not None and self._given_until is not None and self._failure is None:
            return now >= self._given_until
        return now - self._asked_time >= FORGOTTEN_AFTER

    def has_nothing(self) -> bool:
        """Says whether it could be dropped without a loss: it was refused, or is over."""
        return self._beginning is None and (self._task is None or isinstance(self._failure, TaskOver))

    def keep_warm(self, now: datetime) -> None:
        """Renews what is about to end, so that nobody has to wait for that: if somebody has it, or it stays warm."""
        task = self._task
        if task is None or self._failure is not None or now < task.grant.expire_time - RENEWED_BEFORE:
            return
        if self._keeping.stays_warm or self._given_until == task.grant.expire_time:
            with suppress(Exception):  # whoever asks next is told
                task.credentials()

    def _state(self) -> HeldState:
        if isinstance(self._failure, ApprovalPending):
            return HeldState.PENDING
        if isinstance(self._failure, TaskOver) or self._closed:
            return HeldState.OVER
        if self._failure is not None:
            return HeldState.REFUSED
        return HeldState.LIVE if self._task is not None else HeldState.NEW

    def _begun(self) -> Task:
        """Returns the task; one of those who ask begins it, and the others share what comes of that."""
        with self._lock:
            self._check_open()
            if self._task is not None:
                return self._task
            beginning, is_mine = self._beginning, self._beginning is None
            if beginning is None:
                beginning = self._beginning = Future()
        if is_mine:
            self._fulfil(beginning)
        return beginning.result()

    def _check_open(self) -> None:
        """Raises what there is to say instead of credentials."""
        if self._closed:
            raise TaskOver("this task was ended on this machine", reason="GRANT_NOT_LIVE")
        failure = self._failure
        if failure is None:
            return
        is_final = isinstance(failure, TaskOver)
        if is_final or datetime.now(UTC) - self._failure_time < FAILURE_LASTS:
            raise failure
        self._failure = None

    def _fulfil(self, beginning: "Future[Task]") -> None:
        """Begins the task, for all who wait for it."""
        try:
            task = self._begin(self._request_id)
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must not wait for ever
            with self._lock:
                self._beginning = None
            if isinstance(error, RemitError):
                self._fail(error)
            beginning.set_exception(error)
            return
        with self._lock:
            self._task, self._beginning, self._failure = task, None, None
        beginning.set_result(task)

    def _fail(self, error: RemitError) -> None:
        """Remembers a failure; where people are asked, the request that they decide about is come back to."""
        with self._lock:
            if isinstance(error, ApprovalPending):
                self._request_id = error.request_id
            if self._failure is not error:
                self._failure, self._failure_time = error, datetime.now(UTC)
        self._failed(error)

    def _replace(self, task: Task) -> None:
        """Drops a task that is over, unless another thread has done so."""
        with self._lock:
            if self._task is task:
                self._task, self._request_id = None, None
