"""Opens a database of SQLite, in one file: transactions that write begin with the write lock, in their turn."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from remit_server.adapters.database.engine.database import PATIENCE, READERS, START_PATIENCE, Database, DatabaseRefused
from remit_server.adapters.database.engine.turns import FileTurns, TurnNotGot
from remit_server.adapters.database.writing.prepared import run_text

_COMMON = ("foreign_keys=ON", "trusted_schema=OFF")
_WRITER = ("journal_mode=WAL", "synchronous=FULL", *_COMMON)
_READER = ("query_only=ON", *_COMMON)


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


def open_sqlite(url: str | Path, *, patience: timedelta = PATIENCE) -> Database:
    """Opens the database for a gateway and creates its file (mode 0600) when there is none.

    `patience` is how long other processes may hold the write lock, none of them getting on, before a transaction fails.

    Raises DatabaseRefused when it is not a database, or its file can be read by others and that cannot be changed.
    """
    path = sqlite_path(url)
    _create_private(path)
    try:
        turns = FileTurns(path, patience.total_seconds())
    except OSError as error:
        raise DatabaseRefused(f"{path}-turns cannot be opened for writing: {error.strerror}") from error
    writer = _engine(
        URL.create("sqlite+pysqlite", database=str(path)), "BEGIN IMMEDIATE", _WRITER, size=1, patience=patience
    )
    try:
        # In its turn: of two that open a new database at once, one would find it locked while the other sets it up.
        with turns.taken(START_PATIENCE.total_seconds()), _kept_open(path) as mode, writer.connect():
            pass
    except (DBAPIError, sqlite3.Error, TurnNotGot) as error:
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


def open_sqlite_for_reading(url: str | Path) -> Database:
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


@contextmanager
def _kept_open(path: Path) -> Iterator[str]:
    """Holds the file open while the block runs, with a log written ahead where its file system has that; yields which.

    NOTE: who closes a file last writes its log back, and whoever opens it meanwhile finds it locked.
    """
    with closing(sqlite3.connect(path, timeout=START_PATIENCE.total_seconds())) as connection:
        yield connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]


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
