"""One worker process: forked from its supervisor, tied to the supervisor's life, and telling it how it is."""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol

SERVING: Final = "serving"  # with `where`: the ports are open
ALIVE: Final = "alive"
STOPPING: Final = "stopping"
FAILED: Final = "failed"  # with `why`: one sentence for the operator
# SIGINT is not among them: at a Ctrl-C it is the supervisor that stops its workers, each once.
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_UNEXPECTED: Final = 70
_MOST_READ: Final = 1 << 16
_LONGEST: Final = 8_000  # characters of one report: it fits into an empty pipe, however it is encoded
_log: Final = logging.getLogger(__name__)


class Say(Protocol):
    """Tells the supervisor one thing, without ever waiting for it."""

    def __call__(self, kind: str, **told: str) -> None:
        """Tells what kind of news it is, and what belongs to it."""


Work = Callable[[int, Say], int]  # what worker number N does; its exit code


class Worker:
    """A worker as its supervisor sees it; times are monotonic seconds."""

    def __init__(self, number: int, pid: int, reports: int, now: float) -> None:
        self.number = number
        self.pid = pid
        self.reports = reports
        self.started = now
        self.heard = now
        self.serving_since: float | None = None
        self.stopping_since: float | None = None
        self.where = ""
        self.failure = ""
        self.killed_for = ""
        self._status: int | None = None
        self._unread = b""

    @classmethod
    def fork(
        cls, number: int, work: Work, *, lifeline: int, orphan_seconds: float, abandon: Callable[[], None]
    ) -> "Worker":
        """Starts a worker; raises OSError.

        The caller has no other thread that holds a lock, no event loop and no grpc. `lifeline` is the reading end of a
        pipe that closes with the supervisor: the worker then stops, within `orphan_seconds` at the latest. `abandon`
        closes in the worker whatever is the supervisor's own.
        """
        reports, told = os.pipe()
        for end in (reports, told):
            os.set_blocking(end, False)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none may reach the child under its parent's handlers
        try:
            pid = os.fork()
            if pid == 0:
                _live(number, work, told=told, tie=(lifeline, orphan_seconds), abandon=abandon)
        except OSError:
            os.close(reports)
            raise
        finally:
            os.close(told)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return cls(number, pid, reports, time.monotonic())

    def listen(self, now: float) -> None:
        """Takes in what the worker has said meanwhile."""
        try:
            while said := os.read(self.reports, _MOST_READ):
                self.heard = now
                *lines, self._unread = (self._unread + said).split(b"\n")
                for line in lines:
                    self._take_in(json.loads(line), now)
        except BlockingIOError:
            pass

    def note_end(self, status: int) -> None:
        """Notes that the process is gone, and its wait status."""
        self._status = os.waitstatus_to_exitcode(status)

    @property
    def has_ended(self) -> bool:
        """Says whether the process is gone."""
        return self._status is not None

    @property
    def left_in_order(self) -> bool:
        """Says whether it served, was told to stop by somebody, and let its calls end."""
        return self._status == 0 and self.serving_since is not None

    @property
    def how_it_ended(self) -> str:
        """What became of it, as the rest of a sentence about the worker."""
        if self.killed_for:
            return f"{self.killed_for} and was killed"
        if self.failure:
            return f"could not start: {self.failure}"
        if self._status is not None and self._status < 0:
            return f"was ended by {signal.Signals(-self._status).name}"
        return f"ended with exit code {self._status}"

    def stop(self, now: float) -> None:
        """Asks it to let its calls end and to go."""
        self.stopping_since = self.stopping_since or now
        self._send(signal.SIGTERM)

    def kill(self, why: str) -> None:
        """Ends it at once."""
        if not self.killed_for:
            self.killed_for = why
            self._send(signal.SIGKILL)

    def close(self) -> None:
        """Forgets a worker that has ended."""
        os.close(self.reports)

    def _send(self, name: signal.Signals) -> None:
        """Sends a signal, unless the process is gone: its id may be another's by now."""
        if not self.has_ended:
            os.kill(self.pid, name)

    def _take_in(self, report: dict[str, Any], now: float) -> None:
        """Notes one report."""
        match report["kind"]:
            case "serving":
                self.serving_since, self.where = now, report["where"]
            case "stopping":
                self.stopping_since = self.stopping_since or now
            case "failed":
                self.failure = report["why"]
            case _:
                pass  # alive: that it was heard is all it says


def _live(number: int, work: Work, *, told: int, tie: tuple[int, float], abandon: Callable[[], None]) -> NoReturn:
    """The whole life of a worker process; nothing of the supervisor's code runs after it."""
    code = _UNEXPECTED
    try:
        signal.set_wakeup_fd(-1)
        for name in SIGNALS:
            signal.signal(name, signal.SIG_IGN if name is signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        abandon()
        _number_the_logs(number)
        threading.Thread(target=_end_with_supervisor, args=tie, daemon=True).start()

        def say(kind: str, **said: str) -> None:
            try:
                cut = {name: text[:_LONGEST] for name, text in said.items()}
                os.write(told, json.dumps({"kind": kind, **cut}).encode() + b"\n")
            except OSError:  # the supervisor does not read, or is gone: that is not the worker's business
                _log.debug("the supervisor could not be told")

        code = work(number, say)
    except BaseException:  # noqa: BLE001 - whatever it is: it must not run on in the supervisor's name
        _log.exception("a worker failed")
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # nobody may read them any more
            os._exit(code)


def _end_with_supervisor(lifeline: int, orphan_seconds: float) -> None:
    """Stops this process when the supervisor is gone, however that ended: its end of the pipe closes."""
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(orphan_seconds)
    os._exit(_UNEXPECTED)


def _number_the_logs(number: int) -> None:
    """Says in every log record of this process whose it is."""
    usual = logging.getLogRecordFactory()

    def numbered(*arguments: Any, **named: Any) -> logging.LogRecord:
        record = usual(*arguments, **named)
        record.worker = number
        return record

    logging.setLogRecordFactory(numbered)
