"""Opens the database: one connection that writes, a few that read, each off the event loop.

Work on the database is a plain function of a SQLAlchemy connection, run in a thread that owns it. A statement then
costs 65 us; through aiosqlite, which changes threads several times for each statement, it costs 380 us. An asyncpg
connection runs the same functions through `AsyncConnection.run_sync`.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from remit_server.adapters.database.prepared import run_text
from remit_server.adapters.database.turns import TurnNotGot, Turns

T = TypeVar("T")
Work = Callable[[Connection], T]

READERS = 2
PATIENCE = timedelta(milliseconds=750)  # with other processes that write, while none of them gets on
START_PATIENCE = timedelta(seconds=10)  # while a gateway starts: nobody waits for an answer yet
_COMMON = ("foreign_keys=ON", "trusted_schema=OFF")
_WRITER = ("journal_mode=WAL", "synchronous=FULL", *_COMMON)
_READER = ("query_only=ON", *_COMMON)


class DatabaseRefused(ValueError):  # noqa: N818 - named for what it says
    """This database cannot be used, and why; never holds the URL, which may contain a password."""


def sqlite_path(url: str | Path) -> Path:
    """Returns the file of `sqlite:///relative`, `sqlite:////absolute` or a plain path.

    Raises DatabaseRefused for another database, a database in memory (which is not durable) and URL options.
    """
    text = str(url)
    if "://" not in text:
        path, options = text, False
    else:
        try:
            parsed = make_url(text)
        except ArgumentError:
            raise DatabaseRefused("the database URL cannot be read: write sqlite:////var/lib/remit/remit.db") from None
        if parsed.drivername != "sqlite":
            raise DatabaseRefused(
                f"{parsed.drivername} is not supported by this version: write sqlite:////var/lib/remit/remit.db"
            )
        path, options = parsed.database or "", bool(parsed.query or parsed.host)
    if options:
        raise DatabaseRefused("a sqlite URL is sqlite:// and the path of a file, without host or options")
    if path in {"", ":memory:"} or path.startswith("file:"):
        raise DatabaseRefused("the ledger must be on disk: name a file, such as sqlite:////var/lib/remit/remit.db")
    return Path(path)


class Database:
    """A database file that is open: `write` runs work in one durable transaction, `read` in one that cannot write."""

    def __init__(self, reader: Engine, writer: Engine | None = None, turns: Turns | None = None) -> None:
        self.reader = reader
        self.writer = writer
        self._turns = turns
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")

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

        `patience` is how long other processes that write are waited for at least.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writing, self.write_now, work, patience)

    async def read(self, work: Work[T]) -> T:
        """Runs the work on one consistent state of everything committed."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, self.read_now, work)

    async def close(self) -> None:
        """Closes every connection after what its thread is at."""
        await asyncio.get_running_loop().run_in_executor(None, self.close_now)

    def write_now(self, work: Work[T], patience: timedelta = timedelta()) -> T:
        """Does as `write` does, where there is no loop."""
        if self.writer is None or self._turns is None:
            raise DatabaseRefused("the database was opened for reading")
        with self._turns.taken(patience.total_seconds()) as seconds:
            return _in_transaction(self.writer, work, seconds)

    def read_now(self, work: Work[T]) -> T:
        """Does as `read` does, where there is no loop."""
        return _in_snapshot(self.reader, work)

    def close_now(self) -> None:
        """Does as `close` does, where there is no loop."""
        for threads in (self._writing, self._reading):
            threads.shutdown()
        for engine in (self.writer, self.reader):
            if engine is not None:
                engine.dispose()
        if self._turns is not None:
            self._turns.close()


def open_database(url: str | Path, *, patience: timedelta = PATIENCE) -> Database:
    """Opens the database for a gateway and creates its file (mode 0600) when there is none.

    `patience` is how long other processes may hold the write lock, none of them getting on, before a transaction fails.

    Raises DatabaseRefused when it is not a database, or its file can be read by others and that cannot be changed.
    """
    path = sqlite_path(url)
    _create_private(path)
    try:
        turns = Turns(path, patience.total_seconds())
    except OSError as error:
        raise DatabaseRefused(f"{path}-turns cannot be opened for writing: {error.strerror}") from error
    writer = _engine(
        URL.create("sqlite+pysqlite", database=str(path)), "BEGIN IMMEDIATE", _WRITER, size=1, patience=patience
    )
    try:
        # In its turn: of two that open a new database at once, one would find it locked while the other sets it up.
        with turns.taken(START_PATIENCE.total_seconds()), writer.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    except (DBAPIError, TurnNotGot) as error:
        writer.dispose()
        turns.close()
        why = error.orig if isinstance(error, DBAPIError) else error
        raise DatabaseRefused(f"{path} cannot be opened: {why}") from error
    if mode != "wal":
        writer.dispose()
        turns.close()
        raise DatabaseRefused(f"{path} stands on a file system without write-ahead logging: use a local disk")
    reader = _engine(
        URL.create("sqlite+pysqlite", database=str(path)), "BEGIN", _READER, size=READERS, patience=patience
    )
    return Database(reader, writer, turns)


def open_for_reading(url: str | Path) -> Database:
    """Opens a database, or a copy of one, without ever writing to it; text of any bytes can be read.

    Raises DatabaseRefused when there is none.
    """
    path = sqlite_path(url)
    if not path.is_file():
        raise DatabaseRefused(f"there is no database at {path}")
    options = {"mode": "ro", "uri": "true"}
    # NOTE: a copy without its log is opened as a file that nobody writes, so that nothing is put beside the evidence.
    # A database that a gateway has open always has its log.
    if not Path(f"{path}-wal").exists():
        options["immutable"] = "1"
    location = URL.create("sqlite+pysqlite", database=f"file:{quote(str(path.absolute()))}", query=options)
    engine = _engine(location, "BEGIN", _COMMON, size=1, patience=PATIENCE)
    event.listen(engine, "connect", _read_any_text)
    return Database(engine)


def _in_transaction(engine: Engine, work: Work[T], seconds: float) -> T:
    """Runs the work in one transaction, whose lock SQLite waits for so long; a connection that failed is dropped."""
    with engine.connect() as connection:
        try:
            raw: Any = connection.connection.driver_connection  # through SQLAlchemy it would begin the transaction
            raw.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}").close()
            with connection.begin():
                return work(connection)
        except BaseException:
            connection.invalidate()
            raise


def _in_snapshot(engine: Engine, work: Work[T]) -> T:
    """Runs the work in one transaction that is rolled back: committing would fail on a damaged file that was read."""
    with engine.connect() as connection:
        try:
            return work(connection)
        except BaseException:
            connection.invalidate()
            raise


def _engine(url: URL, begin: str, pragmas: tuple[str, ...], *, size: int, patience: timedelta) -> Engine:
    """Returns an engine whose connections are set up by these pragmas and whose transactions begin so."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=patience.total_seconds(),
        connect_args={"timeout": patience.total_seconds()},
        hide_parameters=True,
    )

    def set_up(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", lambda connection: run_text(connection, begin))
    return engine


def _read_any_text(connection: sqlite3.Connection, _record: Any) -> None:
    """Lets changed bytes that are no UTF-8 be read (and then be found wrong) instead of failing the whole page."""
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")


def _create_private(path: Path) -> None:
    """Creates the file for its owner only, or takes others' rights away from the one that is there."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DatabaseRefused(f"{path} cannot be opened for writing: {error.strerror}") from error
    try:
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise DatabaseRefused(f"others may read {path} and that cannot be changed: {error.strerror}") from error
    finally:
        os.close(descriptor)
