"""Holds the credentials of one task, renews them in time, and forgets them when the task is over."""

import logging
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable
from weakref import WeakSet

from remit.errors import NotFound, RemitError, TaskOver, Unavailable
from remit.grant import Credentials, Grant, Issued

ADVISORY = timedelta(seconds=120)
MANDATORY = timedelta(seconds=60)
_log = logging.getLogger("remit")


def utc_now() -> datetime:
    """Returns the machine's time, aware and in UTC."""
    return datetime.now(UTC)


class Holder(Protocol):
    """Something that keeps a copy of the credentials, such as a boto3 session."""

    def forget(self) -> None:
        """Drops the copy."""


@runtime_checkable
class Part(Protocol):
    """A holder that has a grant of its own: a part of the task."""

    @property
    def grant(self) -> Grant:
        """The part's grant."""

    def forget(self) -> None:
        """Drops its keys."""


class Windows:
    """How long before their end credentials are renewed: at best (`advisory`), at the latest (`mandatory`).

    120 s and 60 s, or a third and a sixth of a shorter life: botocore's own 15 and 10 minutes would fetch a 900 s
    credential again at each use.
    """

    __slots__ = ("advisory", "mandatory")

    def __init__(self, lifetime: timedelta) -> None:
        self.advisory = min(ADVISORY, lifetime / 3)
        self.mandatory = min(MANDATORY, lifetime / 6)


class Keyring:
    """The current credentials of a task. Threads may share it; one of them renews while the others go on.

    `renew` None: the caller asked for a certain time, so the credentials end when it does. While credentials work, a
    renewal that fails is logged and tried again later; it is raised once they have ended. `over` says so when the time
    of what is not renewed is over. `now` is the machine's clock.
    """

    def __init__(
        self,
        task: str,
        first: Issued,
        renew: Callable[[Grant], Issued] | None,
        *,
        over: str = "its time is over: for longer work ask for a longer duration, or leave duration out",
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.now = now
        self._task = task
        self._renew = renew
        self._over_by_time = over
        self._state = threading.Lock()
        self._renewing = threading.Lock()
        self._holders: WeakSet[Holder] = WeakSet()
        self._over: str | None = None
        self._cause: str | None = None
        self._take(first)

    @property
    def grant(self) -> Grant:
        """The latest grant."""
        return self._grant

    @property
    def windows(self) -> Windows | None:
        """When the current credentials are renewed; None when they are not."""
        return self._windows if self._renew else None

    @property
    def is_over(self) -> bool:
        """Says whether there are no credentials any more."""
        return self._over is not None

    def usable(self) -> Credentials | None:
        """Returns the credentials while they need no renewal, None when they do; raises TaskOver. Never blocks."""
        with self._state:
            current = self._current()
            now = self.now()
            if self._renew is None and now >= current.expire_time:
                self._forget(self._over_by_time)
                raise self._task_over()
            return current if self._renew is None or now < self._renew_time else None

    def credentials(self) -> Credentials:
        """Returns credentials that work now, renewed when it is time; raises RemitError when there are none."""
        usable = self.usable()
        if usable is not None:
            return usable
        if not self._renewing.acquire(blocking=self._must_wait()):
            with self._state:
                return self._current()
        try:
            return self.usable() or self._renewed()
        finally:
            self._renewing.release()

    def keep(self, holder: Holder) -> None:
        """Remembers who has a copy of the credentials, to have it dropped when the task is over."""
        with self._state:
            self._holders.add(holder)
            if self._over is not None:
                holder.forget()

    def forget_parts(self, names: Collection[str]) -> None:
        """Has the parts of the task that have these grants drop their keys."""
        with self._state:
            holders = list(self._holders)
        for holder in holders:
            if isinstance(holder, Part) and holder.grant.name in names:
                holder.forget()

    def close(self, why: str, *, cause: str | None = None) -> None:
        """Forgets the keys: from here on there are only TaskOver errors, which say why."""
        with self._state:
            self._cause = self._cause if self._over else cause
            self._forget(why)

    def _renewed(self) -> Credentials:
        """Asks for the next grant; with the lock of renewing held."""
        if self._renew is None:
            raise self._task_over()
        try:
            issued = self._renew(self._grant)
        except (TaskOver, NotFound):
            self.close("the gateway says that it is over")
            raise
        except Exception as error:  # whatever it is, credentials that still work are of more use
            kept = self._kept(error)
            if kept is None:
                raise
            return kept
        with self._state:
            self._current()
            self._take(issued)
            if self.now() >= issued.credentials.expire_time:
                raise Unavailable(
                    "the credentials had ended when they came: the clock of this machine is ahead of the gateway's",
                    reason="CLOCK_AHEAD",
                )
            return issued.credentials

    def _kept(self, error: Exception) -> Credentials | None:
        """Returns the current credentials after a failed renewal, and puts off the next; None when they have ended."""
        now = self.now()
        with self._state:
            current = self._current()
            if now >= current.expire_time:
                return None
            asked = error.retry_after if isinstance(error, Unavailable) else None
            self._renew_time = now + max(asked or timedelta(0), self._windows.mandatory / 4)
        # NOTE: the text of an error that is not ours may hold anything, a token too; its type may not.
        told = error.reason if isinstance(error, RemitError) else type(error).__name__
        _log.warning(
            "credentials of task %s were not renewed (%s); they work until %s", self._task, told, current.expire_time
        )
        return current

    def _must_wait(self) -> bool:
        """Says whether the credentials are so near their end that a caller waits for the next."""
        with self._state:
            return self.now() >= self._current().expire_time - self._windows.mandatory

    def _take(self, issued: Issued) -> None:
        """Makes this the current grant."""
        lifetime = issued.credentials.expire_time - (issued.issue_time or self.now())
        self._credentials: Credentials | None = issued.credentials
        self._grant = issued.grant
        self._windows = Windows(max(lifetime, timedelta(0)))
        self._renew_time = issued.credentials.expire_time - self._windows.advisory

    def _current(self) -> Credentials:
        """Returns the current credentials; raises TaskOver."""
        if self._credentials is None:
            raise self._task_over()
        return self._credentials

    def _forget(self, why: str) -> None:
        """Drops the keys, here and wherever they were copied to."""
        self._over = self._over or why
        self._credentials = None
        for holder in list(self._holders):
            holder.forget()

    def _task_over(self) -> TaskOver:
        """Returns the error for asking too late."""
        told = f"task {self._task} gives no credentials any more: {self._over}"
        return TaskOver(told, reason="GRANT_NOT_LIVE", cause=self._cause)
