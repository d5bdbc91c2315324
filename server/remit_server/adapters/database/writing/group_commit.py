"""Makes many waiting operations durable with one commit, and chains their records.

Each operation is a plain function of a `Batch`. A loser returns its error as a value, before it has written anything,
so that it fails alone; the others of its batch are not touched. The head row of the chain is locked first, in every
batch of every process, so no other transaction writes between an operation's check and its write.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any, cast

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection

from remit_server.adapters.database.engine import Database, OutcomeUnknown
from remit_server.adapters.database.writing.batch import Operation, T, write_batch
from remit_server.application.observing import RecordsObserver
from remit_server.application.ports import Clock, MayBeStepped
from remit_server.domain.audit import AuditRecord
from remit_server.domain.errors import Outage, Reason, RemitError

MAX_WAITING = 1024
MAX_BATCH = 256
PATIENCE = timedelta(seconds=5)  # with a queue that moves
STUCK_AFTER = timedelta(milliseconds=900)  # a transaction that has got nowhere for so long
_LOOKS = 8  # at the writer within that time, all of which see it at the same place
_RETRY_AFTER = timedelta(seconds=1)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    operation: Operation[Any]
    answer: asyncio.Future[Any]
    counterpart: Operation[Any] | None = None


class GroupCommit:
    """The one writer of a process: commits all operations that wait in its bounded queue in one transaction."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        max_waiting: int = MAX_WAITING,
        patience: timedelta = PATIENCE,
        stuck_after: timedelta = STUCK_AFTER,
        observer: RecordsObserver | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._patience = patience.total_seconds()
        self._most_waiting = max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._owed: list[_Waiting] = []  # counterparts; nobody waits for their answers
        self._writer: asyncio.Task[None] | None = None
        self._something_waits = asyncio.Event()
        self._ends = False
        self._look_every = stuck_after.total_seconds() / (_LOOKS + 1)
        self._is_stuck = False
        self._watch: asyncio.TimerHandle | None = None
        self._is_settled = _settled_by(clock)
        self._observer = observer

    @property
    def waiting(self) -> int:
        """How many operations wait to be written."""
        return len(self._waiting)

    def start(self) -> None:
        """Starts the writer on the running loop."""
        self._writer = asyncio.create_task(self._write(), name="ledger-writer")

    async def close(self) -> None:
        """Commits what waits and ends the writer; later operations are refused."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._ends = True
            self._something_waits.set()
            await writer

    async def __call__(self, operation: Operation[T], *, counterpart: Operation[Any] | None = None) -> T:
        """Returns the operation's result once it is on disk.

        Raises the operation's own error, Outage(OVERLOADED) when too many wait, and Outage(LEDGER_UNAVAILABLE) when it
        could not be written in time: then it is not done, or it is done and nobody was told. In the latter case its
        `counterpart` is written as soon as that can be, before whatever else waits.
        """
        if self._writer is None or self._is_stuck:
            raise unavailable()
        if len(self._waiting) >= self._most_waiting:
            raise overloaded("record")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(operation, loop.create_future(), counterpart)
        self._waiting.append(waiting)
        self._something_waits.set()
        timer = loop.call_later(self._patience, _fail, waiting.answer, TimeoutError("it waited for too long"))
        try:
            return cast("T", await waiting.answer)
        except asyncio.CancelledError:
            if _succeeded(waiting.answer):  # the caller went just as the answer came
                self._owe(waiting)
            raise
        finally:
            timer.cancel()

    def _watch_over(self, batch: list[_Waiting], seen: float | None = None, looks: int = 0) -> None:
        """Looks every now and then whether the writer gets on with this batch.

        NOTE: what counts is looks, not time: where this process is short of time, it is late with its looks as well.
        And it is the writer's own thread that is asked: a late loop takes nothing for stuck that has been written.
        """
        self._watch = asyncio.get_running_loop().call_later(self._look_every, self._look_at, batch, seen, looks)

    def _look_at(self, batch: list[_Waiting], seen: float | None, looks: int) -> None:
        """Refuses everybody who waits when the writer is stuck; nobody is told that anything is done."""
        since = self._database.since
        looks = looks + 1 if since is not None and since == seen else 0
        self._is_stuck = looks >= _LOOKS
        self._watch_over(batch, since, looks)
        if not self._is_stuck:
            return
        stuck = TimeoutError("the ledger does not get on")
        for waiting in (*self._waiting, *batch):
            _fail(waiting.answer, stuck)
        self._waiting.clear()

    async def _write(self) -> None:
        """Commits batch after batch until it is told to end."""
        while batch := await self._next():
            await self._write_all(batch)
            if self._owed:  # at once: until then the ledger says what somebody was told is not so
                await self._write_all([])
        if self._owed:
            await self._write_all([])
        if self._owed:
            _log.error("%d operations could not be taken back before the end", len(self._owed))

    async def _next(self) -> list[_Waiting]:
        """Returns what waits, as soon as anything does; nothing at the end."""
        while not self._waiting and not self._ends:
            self._something_waits.clear()
            await self._something_waits.wait()
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]

    async def _write_all(self, batch: list[_Waiting]) -> None:
        """Commits what is owed, then those of a batch who have no answer yet.

        What failed with the store stays owed until the next batch, of which the sweeper makes one every few seconds.
        """
        owed, self._owed = self._owed, []
        wanted = [waiting for waiting in batch if not waiting.answer.done()]
        if owed or wanted:
            self._watch_over(wanted)
            await self._commit([*owed, *wanted])
        if self._watch is not None:
            self._watch.cancel()
        self._is_stuck = False
        for waiting in owed:
            error = waiting.answer.exception()
            if error is None:
                continue
            _log.error("an operation that was written after its caller was refused is not taken back", exc_info=error)
            if isinstance(error.__cause__, Exception) and _is_the_stores(error.__cause__):
                self._owed.append(_Waiting(waiting.operation, asyncio.get_running_loop().create_future()))

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commits a batch, then answers each of its operations; when it failed as a whole, none is done."""
        begun = perf_counter()
        try:
            operations = [waiting.operation for waiting in batch]
            work = partial(write_batch, operations, self._clock, self._database.gets_on, self._is_settled)
            written = await self._database.write(work)
        except Exception as error:  # noqa: BLE001 - whatever it was: nobody is told that it is done
            if len(batch) > 1 and not _is_the_stores(error):
                for waiting in batch:  # one of them cannot be written at all: it must not take the others with it
                    if not waiting.answer.done():  # a caller who was refused meanwhile was told the truth
                        await self._commit([waiting])
            else:
                for waiting in batch:
                    _fail(waiting.answer, error)
                if isinstance(error, OutcomeUnknown):  # they may be done, and their callers are told that they are not
                    self._answer(batch, error.result.results)
        else:
            self._tell(written.records, perf_counter() - begun)
            self._answer(batch, written.results)

    def _tell(self, records: list[AuditRecord], seconds: float) -> None:
        """Tells whoever looks on what is on disk. What fails there is its own: those who wait are answered."""
        if self._observer is None:
            return
        try:
            self._observer(records, seconds)
        except Exception as error:  # noqa: BLE001 - whatever it is: it must not end the writer
            _log.error("who looks on at records failed: %s", type(error).__name__)

    def _answer(self, batch: list[_Waiting], results: list[Any]) -> None:
        """Gives the callers of what is on disk their results; what follows from one that is gone is owed."""
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                _settle(waiting.answer, result)
            elif not isinstance(result, RemitError):
                self._owe(waiting)

    def _owe(self, waiting: _Waiting) -> None:
        """Notes the counterpart of an operation that is or may be done, of which its caller was told that it is not."""
        if waiting.counterpart is not None:
            _log.warning("an operation may be written although its caller was refused: it is taken back")
            self._owed.append(_Waiting(waiting.counterpart, asyncio.get_running_loop().create_future()))


def _settled_by(clock: Clock) -> Callable[[], bool]:
    """Returns what says whether bounds may come from the clock."""
    if isinstance(clock, MayBeStepped):
        stepped: MayBeStepped = clock
        return lambda: stepped.unsettled_for() is None
    return lambda: True


def overloaded(what: str) -> Outage:
    """Returns the failure of whatever there is too much of to `what` (a verb)."""
    return Outage(
        Reason.OVERLOADED, f"The gateway has more to {what} than it can: try again.", retry_after=_RETRY_AFTER
    )


def unavailable() -> Outage:
    """Returns the failure of whatever could not be read or written."""
    return Outage(
        Reason.LEDGER_UNAVAILABLE,
        "The gateway cannot record this now, so it issues nothing: try again.",
        retry_after=_RETRY_AFTER,
    )


def _is_the_stores(error: Exception) -> bool:
    """Says whether the store failed (full, locked, gone), rather than one operation that it cannot take."""
    if isinstance(error, DBAPIError):
        return not isinstance(error, DataError | IntegrityError | ProgrammingError)
    return isinstance(error, OSError | NoConnection | OutcomeUnknown)


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    """Tells a caller that its operation was not done, and the log why."""
    if not answer.done():
        outage = unavailable()
        outage.__cause__ = error
        answer.set_exception(outage)


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    """Gives a caller its result, or raises the error that its operation lost by."""
    if isinstance(result, RemitError):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _succeeded(answer: asyncio.Future[Any]) -> bool:
    """Says whether a caller's operation was done and its answer given."""
    return answer.done() and not answer.cancelled() and answer.exception() is None
