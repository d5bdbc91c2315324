"""Keeps the Rego workers of one revision at work: a fixed number, a warm spare, a bounded queue before them."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.rego.pipes import Question, WorkerLost
from remit_server.adapters.rego.process import Program, RegoProcess

# NOTE: a worker that has to wait for the event loop after each answer gives one decision for each turn of the loop,
# and a busy loop's turns are long. So it is asked ahead; who stands behind a question that hangs is asked elsewhere.
ASKED_AHEAD: Final = 8
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_log: Final = logging.getLogger(__name__)


class TeamBusy(Exception):  # noqa: N818 - named for what it says
    """As many questions wait as may wait, or this one waited too long."""


class RegoTeam:
    """Asks whichever worker of a revision has least to do; replaces one that fails, by the spare at once."""

    def __init__(self, program: Program, *, workers: int, spares: int, most_waiting: int) -> None:
        self._program = program
        self._workers = workers
        self._spares = spares
        self._most_waiting = most_waiting
        self._working: list[RegoProcess] = []
        self._warm: list[RegoProcess] = []
        self._alive: set[RegoProcess] = set()
        self._waiting: OrderedDict[Question, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = 0
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
            self._warm.append(outcome)
        for _ in range(self._workers):
            self._put_to_work(self._warm.pop())

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
        if (waiting := self._open - len(self._working)) >= self._most_waiting:
            raise TeamBusy(f"{waiting} questions wait already")
        question = Question.of(kind, payload, seconds)
        self._open += 1
        self._quiet.clear()
        try:
            worker = self._least_busy()
            if worker is None or worker.questions:
                question.wait(wait_seconds, TeamBusy(f"no worker came to it within {wait_seconds} s"))
            if worker is None:
                self._waiting[question] = None
            else:
                worker.put(question)
            return await question.answer
        finally:
            if question in self._waiting:  # nobody waits for it any more
                del self._waiting[question]
                question.begin()
            self._open -= 1
            if not self._open:
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
        for question in self._waiting:
            question.fail(WorkerLost("the team is closed"))
        self._alive.clear()

    def _least_busy(self) -> RegoProcess | None:
        """Returns the worker with the least before it, or None where all have enough."""
        worker = min(self._working, key=_load, default=None)
        return worker if worker is not None and worker.questions < ASKED_AHEAD else None

    def _put_to_work(self, worker: RegoProcess) -> None:
        """Has a worker answer, from now on."""
        self._working.append(worker)
        worker.keep(_Place(self, worker))
        self._go_on()

    def _go_on(self) -> None:
        """Asks what waits, in its order, as far as there is room."""
        while self._waiting and (worker := self._least_busy()) is not None:
            question, _ = self._waiting.popitem(last=False)
            if not question.answer.done():
                worker.put(question)

    def _lost(self, worker: RegoProcess, why: WorkerLost, unbegun: list[Question]) -> None:
        """Puts the spare to work, and has the lost worker ended and a new one started, which takes time."""
        _log.warning("a policy worker was lost", extra={"worker_pid": worker.pid, "cause": str(why)})
        self._working.remove(worker)
        for question in reversed(unbegun):
            if not question.answer.done():
                self._waiting[question] = None
                self._waiting.move_to_end(question, last=False)
        if self._closed:
            return
        self._task(self._renewed(worker))
        if self._warm:
            self._put_to_work(self._warm.pop())
        else:
            self._go_on()

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
            if len(self._working) < self._workers:
                self._put_to_work(worker)
            else:
                self._warm.append(worker)
            return

    async def _started(self) -> RegoProcess:
        """Returns a new worker, counted among the living."""
        worker = await RegoProcess.start(self._program)
        self._alive.add(worker)
        return worker

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work beside, as a task that is kept until it is done, and whose failure is always looked at."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        """Forgets a task; reading its failure here keeps asyncio from reporting one that nobody waits for any more."""
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()


@dataclass(frozen=True, slots=True)
class _Place:
    """A worker's place in its team."""

    team: RegoTeam
    worker: RegoProcess

    def answered(self) -> None:
        """Gives the worker something of what waits."""
        self.team._go_on()  # noqa: SLF001 - a part of the team

    def lost(self, why: WorkerLost, unbegun: list[Question], /) -> None:
        """Has the worker replaced."""
        self.team._lost(self.worker, why, unbegun)  # noqa: SLF001 - a part of the team


def _load(worker: RegoProcess) -> int:
    return worker.questions
