"""A database that is open: one connection that writes, a few that read, each off the event loop.

Work on the database is a plain function of a SQLAlchemy connection, run in a thread that owns it. A statement then
costs 65 us; through aiosqlite, which changes threads several times for each statement, it costs 380 us.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
Work = Callable[[Connection], T]

READERS: Final = 2
PATIENCE: Final = timedelta(milliseconds=750)  # with other processes that write, while none of them gets on
START_PATIENCE: Final = timedelta(seconds=10)  # while a gateway starts: nobody waits for an answer yet
READ_STUCK_AFTER: Final = timedelta(milliseconds=900)  # no read at all has got on for so long
_LOOKS: Final = 8  # at the readers within that time
_log = logging.getLogger(__name__)


class DatabaseRefused(ValueError):  # noqa: N818 - named for what it says
    """This database cannot be used, and why; never holds the URL, which may contain a password."""


class ConnectionLost(OSError):  # noqa: N818 - named for what it says
    """The server has ended the connection before the transaction began."""


class OutcomeUnknown(Exception):  # noqa: N818 - named for what it says
    """The database was lost while it committed: what was written may be there or not; `result` is what work gave."""

    def __init__(self, result: Any) -> None:
        super().__init__("the database was lost while it committed")
        self.result = result


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
        self._turns = turns
        self._reads = 0
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")
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
        return await asyncio.get_running_loop().run_in_executor(self._writing, self.write_now, work, patience)

    async def read(self, work: Work[T]) -> T:
        """Runs the work on one consistent state of everything committed."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, self.read_now, work)

    async def read_in_time(self, work: Work[T]) -> T:
        """Does as `read` does; raises TimeoutError once the database gets on with no read at all.

        What counts is looks, not time: where this process is short of time, it is late with its looks as well.
        """
        reading = asyncio.ensure_future(self.read(work))
        try:
            looks, seen = 0, self._reads
            while looks < _LOOKS:
                if (await asyncio.wait((reading,), timeout=READ_STUCK_AFTER.total_seconds() / _LOOKS))[0]:
                    return reading.result()
                looks, seen = (looks + 1 if seen == self._reads else 0), self._reads
            raise TimeoutError("the database does not get on with reads")
        finally:
            reading.cancel()

    async def close(self) -> None:
        """Closes every connection after what its thread is at."""
        await asyncio.get_running_loop().run_in_executor(None, self.close_now)

    def write_now(self, work: Work[T], patience: timedelta = timedelta()) -> T:
        """Does as `write` does, where there is no loop."""
        if self.writer is None or self._turns is None:
            raise DatabaseRefused("the database was opened for reading")
        with self._turns.taken(patience.total_seconds()) as seconds:
            return self._in_transaction(self.writer, self._turns, work, seconds)

    def read_now(self, work: Work[T]) -> T:
        """Does as `read` does, where there is no loop."""
        try:
            return self._in_snapshot(work)
        finally:
            self._reads += 1

    def close_now(self) -> None:
        """Does as `close` does, where there is no loop."""
        for threads in (self._writing, self._reading):
            threads.shutdown()
        for engine in (self.writer, self.reader):
            if engine is not None:
                engine.dispose()
        if self._turns is not None:
            self._turns.close()

    def _in_transaction(self, engine: Engine, turns: Turns, work: Work[T], seconds: float) -> T:
        """Runs the work in one transaction; a connection that failed is dropped."""
        with _begun(engine, lambda raw: turns.begins(raw, seconds)) as connection:
            try:
                result = work(connection)
                _commit(connection, result)
            except BaseException:
                connection.invalidate()
                raise
            return result

    def _in_snapshot(self, work: Work[T]) -> T:
        """Runs the work in one transaction that is rolled back: a commit fails on a damaged file that was read."""
        with _begun(self.reader) as connection:
            try:
                return work(connection)
            except BaseException:
                connection.invalidate()
                raise


def _begun(engine: Engine, begins: Callable[[Any], None] = lambda _: None) -> Connection:
    """Returns a connection whose transaction has begun; one that was lost while it was idle is replaced, once."""
    try:
        return _begin(engine, begins)
    except ConnectionLost:
        _log.info("the connection to the database was lost while it was idle: connecting anew")
        engine.dispose()  # the others were lost as well
    return _begin(engine, begins)


def _begin(engine: Engine, begins: Callable[[Any], None]) -> Connection:
    """Takes a connection and begins its transaction; raises ConnectionLost where the server has ended it."""
    connection = engine.connect()
    raw: Any = connection.connection.driver_connection  # through SQLAlchemy it would begin the transaction
    try:
        begins(raw)
        connection.begin()
    except BaseException as error:
        was_lost = isinstance(error, DBAPIError) and getattr(raw, "broken", False)
        connection.invalidate()
        connection.close()
        if was_lost:
            raise ConnectionLost("the database has ended the connection") from error
        raise
    return connection


def _commit(connection: Connection, result: Any) -> None:
    """Commits; raises OutcomeUnknown where only the server knows whether it is done.

    SQLite is in this process: what it could not commit is not done.
    """
    try:
        connection.commit()
    except (DBAPIError, OSError) as error:
        if connection.dialect.name == "sqlite":
            raise
        raise OutcomeUnknown(result) from error
