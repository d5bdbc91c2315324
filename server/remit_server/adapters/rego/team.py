"""Keeps the Rego workers of one revision at work: a fixed number, a warm spare, a bounded queue before them."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final

from remit_server.adapters.rego.process import EvaluationFailed, Program, RegoProcess, WorkerLost

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_log: Final = logging.getLogger(__name__)


class TeamBusy(Exception):  # noqa: N818 - named for what it says
    """As many questions wait as may wait, or this one waited too long."""


class RegoTeam:
    """Asks whichever worker of a revision is free; a worker that fails is ended and replaced, by the spare at once."""

    def __init__(self, program: Program, *, workers: int, spares: int, most_waiting: int) -> None:
        self._program = program
        self._workers = workers
        self._spares = spares
        self._most_waiting = most_waiting
        self._idle: asyncio.Queue[RegoProcess] = asyncio.Queue()
        self._warm: list[RegoProcess] = []
        self._alive: set[RegoProcess] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._missing = 0
        self._waiting = 0
        self._asking = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closed = False

    async def start(self) -> None:
        """Starts every worker and spare; raises BundleRefused or WorkerLost when they cannot load the program."""
        count = self._workers + self._spares
        started = await asyncio.gather(*(self._started() for _ in range(count)), return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, BaseException):
                await self.close()
                raise outcome
            if self._idle.qsize() < self._workers:
                self._idle.put_nowait(outcome)
            else:
                self._warm.append(outcome)

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of all workers alive."""
        return frozenset(worker.pid for worker in self._alive)

    async def ask(self, kind: bytes, payload: str, *, seconds: float, wait_seconds: float) -> str | None:
        """Returns a worker's answer, None for undefined; raises TeamBusy, WorkerLost or EvaluationFailed.

        A caller that goes away does not take the worker with it: the question is answered to nobody.
        """
        if self._closed:
            raise WorkerLost("the team is closed")
        if self._waiting >= self._most_waiting:
            raise TeamBusy(f"{self._waiting} questions wait already")
        self._asking += 1
        self._quiet.clear()
        try:
            worker = await self._free_worker(wait_seconds)
            return await asyncio.shield(self._task(self._asked(worker, kind, payload, seconds)))
        finally:
            self._asking -= 1
            if not self._asking:
                self._quiet.set()

    async def close(self, *, grace_seconds: float = 0.0) -> None:
        """Takes no more questions, gives those asked already their time, then ends every process for good."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._quiet.wait()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in tuple(self._alive)))
        self._alive.clear()

    async def _free_worker(self, wait_seconds: float) -> RegoProcess:
        """Returns a worker that is free, in the order of asking; raises TeamBusy when none was in time."""
        self._waiting += 1
        try:
            async with asyncio.timeout(wait_seconds):
                return await self._idle.get()
        except TimeoutError:
            raise TeamBusy(f"no worker was free within {wait_seconds} s") from None
        finally:
            self._waiting -= 1

    async def _asked(self, worker: RegoProcess, kind: bytes, payload: str, seconds: float) -> str | None:
        """Returns one worker's answer; puts the worker back, or another one in its place."""
        healthy = False
        try:
            answer = await worker.ask(kind, payload, seconds=seconds)
            healthy = True
        except EvaluationFailed:
            healthy = True
            raise
        except WorkerLost as lost:
            _log.warning("a policy worker was lost", extra={"worker_pid": worker.pid, "cause": str(lost)})
            raise
        else:
            return answer
        finally:
            if healthy:
                self._idle.put_nowait(worker)
            else:
                self._replace(worker)

    def _replace(self, lost: RegoProcess) -> None:
        """Puts the spare to work, and has the lost worker ended and a new one started, which takes time."""
        if self._closed:
            return
        if self._warm:
            self._idle.put_nowait(self._warm.pop())
        else:
            self._missing += 1
        self._task(self._renewed(lost))

    async def _renewed(self, lost: RegoProcess) -> None:
        """Ends a worker and starts another, as often as it takes."""
        await lost.close()
        self._alive.discard(lost)
        pause = _FIRST_PAUSE
        while True:
            try:
                worker = await self._started()
            except (WorkerLost, OSError, ValueError):
                _log.exception("a policy worker could not be started")
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if self._missing:
                self._missing -= 1
                self._idle.put_nowait(worker)
            else:
                self._warm.append(worker)
            return

    async def _started(self) -> RegoProcess:
        """Returns a new worker, counted among the living."""
        worker = await RegoProcess.start(self._program)
        self._alive.add(worker)
        return worker

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Returns the work as a task that is kept until it is done, and whose failure is always looked at."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        """Forgets a task; reading its failure here keeps asyncio from reporting one that nobody waits for any more."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
