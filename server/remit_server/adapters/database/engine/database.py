"""A database that is open: one connection that writes, a few that read, each off the event loop.

Work on the database is a plain function of a SQLAlchemy connection, run in a thread that owns it. A statement then
costs 65 us; through aiosqlite, which changes threads several times for each statement, it costs 380 us.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Engine, event

from remit_server.adapters.database.engine.hands import Hands
from remit_server.adapters.database.engine.transactions import Transactions

T = TypeVar("T")
Work = Callable[[Connection], T]

READERS: Final = 2
PATIENCE: Final = timedelta(milliseconds=750)  # with other processes that write, while none of them gets on
START_PATIENCE: Final = timedelta(seconds=10)  # while a gateway starts: nobody waits for an answer yet
READ_STUCK_AFTER: Final = timedelta(milliseconds=900)  # no read at all has got on for so long
LONGEST_READ: Final = timedelta(seconds=5)  # even where the others get on
_LOOKS: Final = 8  # at the readers within that time
_LOOK_EVERY: Final = READ_STUCK_AFTER.total_seconds() / _LOOKS


class DatabaseRefused(ValueError):  # noqa: N818 - named for what it says
    """This database cannot be used, and why; never holds the URL, which may contain a password."""


class Turns(Protocol):
    """Whose turn it is to write, among the processes that share a database; used by the thread that writes."""

    since: float | None

    def taken(self, at_least: float) -> AbstractContextManager[float]:
        """Has the turn while the block runs, or says how many seconds the transaction may wait for it."""

    def begins(self, raw: Any, seconds: float) -> None:
        """Tells the driver's connection how long the transaction that begins next may wait for the others."""

    def gets_on(self) -> None:
        """Says that the transaction which is under way is slow rather than stuck."""

    def close(self) -> None:
        """Gives up what it holds open."""


class Database:
    """`write` runs work in one durable transaction, `read` in one that cannot write."""

    def __init__(self, reader: Engine, writer: Engine | None = None, turns: Turns | None = None) -> None:
        self.reader = reader
        self.writer = writer
        self.reads = 0  # that have ended, so far
        self._turns = turns
        self._snapshots = Transactions(reader)
        self._writes = None if writer is None else Transactions(writer)
        self._reading = Hands(READERS, "ledger-read")
        self._writing = Hands(1, "ledger-write")
        if writer is not None:  # an operation of many statements is slow, and not stuck
            event.listen(writer, "before_cursor_execute", lambda *_: self.gets_on())

    @property
    def since(self) -> float | None:
        """When the transaction that is under way last got on (monotonic); None where none is. Asks no thread."""
        return self._turns.since if self._turns else None

    def gets_on(self) -> None:
        """Says, from within the work that is written, that it is slow rather than stuck."""
        if self._turns is not None:
            self._turns.gets_on()

    async def write(self, work: Work[T], *, patience: timedelta = timedelta()) -> T:
        """Runs the work on the one writing connection and commits; when anything fails nothing of it is done.

        `patience` is how long other processes that write are waited for at least. Raises OutcomeUnknown when it may be
        done all the same.
        """
        return await self._writing.do(partial(self.write_now, work, patience))

    async def read(self, work: Work[T]) -> T:
        """Runs the work on one consistent state of everything committed."""
        return await self._reading.do(partial(self.read_now, work))

    async def read_in_time(self, work: Work[T]) -> T:
        """Does as `read` does; raises TimeoutError once the database gets on with no read at all.

        What counts is looks, not time: where this process is short of time, it is late with its looks as well.
        """
        reading = self._reading.do(partial(self.read_now, work))
        looks = _Looks(self, reading)
        try:
            return await reading
        finally:
            looks.end()

    async def close(self) -> None:
        """Closes every connection after what its thread is at."""
        await asyncio.get_running_loop().run_in_executor(None, self.close_now)

    def write_now(self, work: Work[T], patience: timedelta = timedelta()) -> T:
        """Does as `write` does, where there is no loop."""
        turns, writes = self._turns, self._writes
        if turns is None or writes is None:
            raise DatabaseRefused("the database was opened for reading")
        with turns.taken(patience.total_seconds()) as seconds:
            return writes.committed(work, lambda raw: turns.begins(raw, seconds))

    def read_now(self, work: Work[T]) -> T:
        """Does as `read` does, where there is no loop."""
        try:
            return self._snapshots.rolled_back(work)
        finally:
            self.reads += 1

    def close_now(self) -> None:
        """Does as `close` does, where there is no loop."""
        for threads in (self._writing, self._reading):
            threads.rest()
        for transactions in (self._writes, self._snapshots):
            if transactions is not None:
                transactions.close()
        if self._turns is not None:
            self._turns.close()


class _Looks:
    """Looks every now and then whether a database gets on with its reads, as long as one of them is awaited."""

    def __init__(self, database: Database, reading: "asyncio.Future[Any]") -> None:
        self._database = database
        self._reading = reading
        self._seen = database.reads
        self._since = self._count = 0
        self._timer = reading.get_loop().call_later(_LOOK_EVERY, self._look)

    def end(self) -> None:
        """Looks no more."""
        self._timer.cancel()

    def _look(self) -> None:
        """Fails the read once none has got on for too long, and in the end even where others do."""
        self._count += 1
        if self._seen != self._database.reads:
            self._since, self._seen = self._count, self._database.reads
        if self._count - self._since >= _LOOKS or self._count * _LOOK_EVERY >= LONGEST_READ.total_seconds():
            if not self._reading.done():
                self._reading.set_exception(TimeoutError("the database does not get on with reads"))
            return
        self._timer = self._reading.get_loop().call_later(_LOOK_EVERY, self._look)
