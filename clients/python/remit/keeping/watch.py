"""Watches a task in the background: keeps its lease at the gateway, and drops its keys when it is revoked or ended."""

import logging
import random
import threading
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from remit.errors import NotFound, RemitError, Unavailable
from remit.grant import TaskEvent, TaskEventKind
from remit.keeping.renewal import Keyring

if TYPE_CHECKING:
    from remit.calling.calls import Calls

FIRST_PAUSE = 0.2  # seconds; doubled with each failure in a row, and shortened by up to a half at random
LONGEST_PAUSE = 10.0
COME_BACK_WITHIN = 2.0  # when a gateway says so, which it does to all of its watchers at once
SAID_TO_COME_BACK = "STREAM_ENDED"
NOT_KNOWN_THERE = "UNIMPLEMENTED"
TOLD_AFTER = 4  # failures in a row
_random = random.SystemRandom()
_log = logging.getLogger("remit")


class Watch:
    """One task's stream, opened again after every break for as long as the task lasts and somebody holds its keyring.

    It has a thread of its own in programs with and without an event loop: reading a stream blocks, and the thread
    sleeps all the time but for a few messages a minute. It is a daemon and so holds up no exit. In a process that was
    forked off it does not run.
    """

    def __init__(self, calls: "Calls", keyring: Keyring, task_id: str, lease: timedelta | None) -> None:
        self._calls = calls
        self._keyring = weakref.ref(keyring)
        self._task_id = task_id
        self._lease = lease
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._call: Any = None
        self._failures = 0  # in a row

    def start(self) -> None:
        """Begins to watch."""
        threading.Thread(target=self._run, name=f"remit-watch-{self._task_id[:8]}", daemon=True).start()

    def stop(self) -> None:
        """Ends the stream, and with it the thread."""
        with self._lock:
            self._stopped.set()
            if self._call is not None:
                self._call.cancel()

    def _run(self) -> None:
        while not self._stopped.is_set() and self._keyring() is not None:
            error = self._once()
            if error is not None and self._is_useless_after(error):
                return
            self._stopped.wait(self._pause(error))

    def _once(self) -> Exception | None:
        """Watches until there is nothing to watch any more, or until the stream breaks: then returns what broke it."""
        try:
            for event in self._calls.watch(self._task_id, self._lease, self._opened):
                self._failures = 0
                if self._is_over_after(event):
                    self._stopped.set()
                    break
        except Exception as error:  # noqa: BLE001 - a token function of the caller's may raise whatever it likes
            return error
        return None

    def _is_useless_after(self, error: Exception) -> bool:
        """Says whether it is no use to come back after this failure; tells of many in a row."""
        if self._stopped.is_set() or self._calls.channel.is_closed or self._is_over_by(error):
            return True
        # NOTE: the text of an error that is not ours may hold anything, a token too; its type may not.
        why = error.reason if isinstance(error, RemitError) else type(error).__name__
        self._failures = 0 if why == SAID_TO_COME_BACK else self._failures + 1
        if self._failures == TOLD_AFTER:
            lease = (
                "" if self._lease is None else f"; it ends when that goes on for {self._lease.total_seconds():.0f} s"
            )
            _log.warning("task %s cannot be watched (%s)%s", self._task_id, why, lease)
        return False

    def _opened(self, call: Any) -> None:
        """Keeps the call that is running, to be able to end it."""
        with self._lock:
            self._call = call
            if self._stopped.is_set():
                call.cancel()

    def _is_over_after(self, event: TaskEvent) -> bool:
        """Drops the keys when they are revoked or the task has ended, and says whether there is nothing to watch."""
        keyring = self._keyring()
        if keyring is None or keyring.is_over:
            return True
        cause = f" ({event.cause})" if event.cause else ""
        match event.kind:
            case TaskEventKind.ENDED:
                keyring.close(f"the gateway ended it{cause}", cause=event.cause)
            case TaskEventKind.REVOKED if not event.grants or keyring.grant.name in event.grants:
                keyring.close(f"it was revoked{cause}", cause=event.cause)
            case TaskEventKind.REVOKED:
                keyring.forget_parts(event.grants)
                return False
            case _:
                return False
        _log.warning("task %s is over: its credentials were dropped%s", self._task_id, cause)
        return True

    def _is_over_by(self, error: Exception) -> bool:
        """Says whether there is no such task, or a gateway that knows no streams."""
        if isinstance(error, RemitError) and error.reason == NOT_KNOWN_THERE:
            _log.warning("the gateway cannot be asked to watch task %s: it has no lease", self._task_id)
            return True
        keyring = self._keyring()
        if isinstance(error, NotFound) and keyring is not None:
            keyring.close("the gateway says that there is no such task")
        return isinstance(error, NotFound)

    def _pause(self, error: Exception | None) -> float:
        """Returns the seconds until the stream is opened again."""
        if not self._failures:
            return _random.uniform(FIRST_PAUSE / 2, COME_BACK_WITHIN)
        longest = LONGEST_PAUSE if self._lease is None else min(LONGEST_PAUSE, self._lease.total_seconds() / 4)
        pause = min(FIRST_PAUSE * float(2 ** min(self._failures, 16)), longest)
        asked = error.retry_after if isinstance(error, Unavailable) else None
        if asked is not None:
            pause = max(pause, min(asked.total_seconds(), longest))
        return pause * _random.uniform(0.5, 1.0)
