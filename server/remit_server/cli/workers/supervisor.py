"""Keeps N workers at work: starts them, replaces those that end, and stops all of them together.

A plain loop over signals and pipes: no thread, no event loop and no grpc, so that forking it is safe at any time.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.cli.output import CANNOT_START, WRONG
from remit_server.cli.workers.process import SIGNALS, Work, Worker
from remit_server.cli.workers.setbacks import Setbacks

_STOP_SIGNALS: Final = frozenset({int(signal.SIGTERM), int(signal.SIGINT)})
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long workers may take, in seconds: to serve, between two signs of life, and to stop."""

    start: float = 90.0
    silence: float = 30.0
    stop: float = 40.0  # more than calls are given to end (25 s) and than STS may take afterwards


@dataclass(frozen=True, slots=True)
class Ending:
    """How the gateway ended: its exit code, and what the operator is told of it."""

    code: int
    message: str = ""


@dataclass(slots=True)
class _Place:
    """One of the N places: the worker in it, or when the next may start in it."""

    number: int
    worker: Worker | None = None
    due: float | None = None
    setbacks: Setbacks = field(default_factory=Setbacks)


class Supervisor:
    """Runs `work` in N processes until it is told to stop; `abandon` closes in a worker what is the supervisor's own.

    The first worker must serve before the others are started: whatever is wrong is found, and told, once.
    """

    def __init__(
        self, work: Work, workers: int, *, pace: Pace | None = None, abandon: Callable[[], None] = lambda: None
    ) -> None:
        self._work = work
        self._pace = pace or Pace()
        self._abandon_more = abandon
        self._places = [_Place(number) for number in range(1, workers + 1)]
        self._selector = selectors.DefaultSelector()
        self._signals = _Signals()
        self._lifeline = os.pipe()  # nobody writes to it: it is closed by whichever way this process ends
        self._opened = False
        self._ending: Ending | None = None

    def run(self) -> Ending:
        """Returns once every worker is gone."""
        with ExitStack() as stack:
            stack.callback(os.close, self._lifeline[0])
            stack.callback(self._abandon)
            stack.enter_context(self._signals)
            self._selector.register(self._signals.awake, selectors.EVENT_READ)
            self._places[0].due = time.monotonic()
            while True:
                now = time.monotonic()
                for place in self._places:
                    self._fill(place, now)
                if self._ending is not None and not any(place.worker for place in self._places):
                    return self._ending
                self._selector.select(self._until_next(now))
                self._obey(self._signals.received())
                self._reap()
                self._listen()
                for place in self._places:
                    self._look_after(place, time.monotonic())

    def _fill(self, place: _Place, now: float) -> None:
        """Starts a worker in a place where one is due."""
        if place.due is None or place.due > now:
            return
        place.due = None
        try:
            worker = Worker.fork(
                place.number,
                self._work,
                lifeline=self._lifeline[0],
                orphan_seconds=self._pace.stop,
                abandon=self._abandon,
            )
        except OSError as error:
            self._lost(place, f"could not be started: {error.strerror}", 0.0)
            return
        place.worker = worker
        self._selector.register(worker.reports, selectors.EVENT_READ)
        _log.info("started a worker", extra={"started_worker": place.number, "worker_pid": worker.pid})

    def _until_next(self, now: float) -> float | None:
        """Returns the seconds until something is due, None when nothing is."""
        times = [place.due for place in self._places if place.due is not None]
        workers = [place.worker for place in self._places if place.worker is not None]
        times += [self._limit(worker)[0] for worker in workers if not worker.killed_for]
        return max(0.0, min(times) - now) if times else None

    def _limit(self, worker: Worker) -> tuple[float, str]:
        """Returns until when a worker has time, and what it will have failed to do by then."""
        if worker.stopping_since is not None:
            return worker.stopping_since + self._pace.stop, f"did not stop within {self._pace.stop:g} s"
        if worker.serving_since is None:
            return worker.started + self._pace.start, f"did not serve within {self._pace.start:g} s"
        return worker.heard + self._pace.silence, f"gave no sign of life for {self._pace.silence:g} s"

    def _obey(self, received: set[int]) -> None:
        """Stops at the first signal to stop, at once at the second."""
        if not received & _STOP_SIGNALS:
            return
        if self._ending is None:
            _log.info("stopping: running calls end first")
            self._end(Ending(0))
            return
        if not self._ending.code:
            self._ending = Ending(WRONG, "the gateway was told twice to stop: calls that were running were cut off")
        for place in self._places:
            if place.worker is not None:
                place.worker.kill("was not waited for")

    def _reap(self) -> None:
        """Notes which workers are gone.

        Takes every child there is: where this process is a container's first, what a killed worker has left behind
        becomes its own.
        """
        workers = {place.worker.pid: place.worker for place in self._places if place.worker is not None}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid in workers:
                    workers[pid].note_end(status)

    def _listen(self) -> None:
        """Takes in what the workers say, and whether all of them have served by now: some may have ended since.

        Their last words count, so this comes after their ends were noted.
        """
        for place in self._places:
            if place.worker is not None:
                place.worker.listen(time.monotonic())
        self._open()

    def _look_after(self, place: _Place, now: float) -> None:
        """Notices when a worker has ended, or its time is over."""
        worker = place.worker
        if worker is None:
            return
        if worker.has_ended:
            self._selector.unregister(worker.reports)
            worker.close()
            place.worker = None
            self._gone(place, worker, now)
            return
        until, why = self._limit(worker)
        if until <= now and not worker.killed_for:
            _log.error("worker %d %s: it is killed", worker.number, why)
            worker.kill(why)

    def _gone(self, place: _Place, worker: Worker, now: float) -> None:
        """Decides what follows the end of a worker."""
        if self._ending is not None:
            if worker.killed_for and self._ending.code == 0:
                self._ending = Ending(WRONG, f"worker {worker.number} {worker.how_it_ended}")
        elif self._opened and worker.left_in_order:
            _log.info("worker %d was stopped by itself: another takes its place", worker.number)
            place.due = now
        elif not self._opened and worker.failure:
            self._end(Ending(CANNOT_START, f"the gateway did not start: {worker.failure}"))
        else:
            served = now - worker.serving_since if worker.serving_since is not None else 0.0
            self._lost(place, worker.how_it_ended, served)

    def _lost(self, place: _Place, how: str, served_seconds: float) -> None:
        """Gives a place another worker after a pause, or gives up."""
        if not self._opened:
            self._end(
                Ending(CANNOT_START, f"the gateway did not start: worker {place.number} {how}; its log says more")
            )
            return
        place.setbacks = place.setbacks.after_a_loss(served_seconds)
        if place.setbacks.hopeless:
            times = place.setbacks.in_a_row
            why = f"worker {place.number} was lost {times} times, each within a minute; the last one {how}"
            self._end(Ending(CANNOT_START, f"the gateway stopped: {why}. The log says more"))
            return
        _log.error("worker %d %s: another takes its place in %g s", place.number, how, place.setbacks.pause)
        place.due = time.monotonic() + place.setbacks.pause

    def _open(self) -> None:
        """Starts the others once the first serves, and says when all do."""
        if self._opened or self._ending is not None:
            return
        workers = [place.worker for place in self._places if place.worker is not None]
        serving = [worker for worker in workers if worker.serving_since is not None]
        if len(serving) == len(self._places):
            self._opened = True
            _log.info("serving on %s with %d workers", serving[0].where, len(serving))
        elif serving:
            for place in self._places:
                if place.worker is None and place.due is None:
                    place.due = time.monotonic()

    def _end(self, ending: Ending) -> None:
        """Stops every worker; no other is started."""
        self._ending = ending
        for place in self._places:
            place.due = None
            if place.worker is not None:
                place.worker.stop(time.monotonic())

    def _abandon(self) -> None:
        """Closes what is the supervisor's own: at its end, and in each worker that was forked from it."""
        self._abandon_more()
        self._signals.close()
        self._selector.close()
        os.close(self._lifeline[1])
        for place in self._places:
            if place.worker is not None:
                place.worker.close()


class _Signals:
    """Turns signals into bytes on a socket that a selector can wait for."""

    def __init__(self) -> None:
        self.awake, self._wake = socket.socketpair()
        for end in (self.awake, self._wake):
            end.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for name in SIGNALS:
            self._before[name] = signal.signal(name, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def received(self) -> set[int]:
        """Returns the numbers of the signals that came meanwhile."""
        try:
            return set(self.awake.recv(4096))
        except BlockingIOError:
            return set()

    def close(self) -> None:
        """Closes the socket."""
        self.awake.close()
        self._wake.close()
