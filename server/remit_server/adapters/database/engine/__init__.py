"""Opens the database that a URL names: the same `Database` whichever it is."""

from datetime import timedelta
from pathlib import Path

from remit_server.adapters.database.engine.database import (
    PATIENCE,
    START_PATIENCE,
    Database,
    DatabaseRefused,
    Work,
)
from remit_server.adapters.database.engine.hands import HandsFull
from remit_server.adapters.database.engine.sqlite import open_sqlite, open_sqlite_for_reading, sqlite_path
from remit_server.adapters.database.engine.transactions import OutcomeUnknown
from remit_server.config.postgresql import is_postgresql

__all__ = [
    "PATIENCE",
    "START_PATIENCE",
    "Database",
    "DatabaseRefused",
    "HandsFull",
    "OutcomeUnknown",
    "Work",
    "open_database",
    "open_for_reading",
    "sqlite_path",
]


def open_database(url: str | Path, *, password_file: Path | None = None, patience: timedelta = PATIENCE) -> Database:
    """Opens the database for a gateway; a file of SQLite is created (mode 0600) when there is none.

    `patience` is how long other processes may hold the write lock, none of them getting on, before a transaction fails.

    Raises DatabaseRefused when it cannot be used as a ledger.
    """
    if not is_postgresql(str(url)):
        return open_sqlite(url, patience=patience)
    # A gateway with SQLite loads no driver that it does not use.
    from remit_server.adapters.database.engine.postgresql import open_postgresql  # noqa: PLC0415

    return open_postgresql(str(url), password_file=password_file, patience=patience)


def open_for_reading(
    url: str | Path, *, password_file: Path | None = None, longest: timedelta | None = None
) -> Database:
    """Opens a database, or a copy of one, without ever writing to it; text of any bytes can be read.

    `longest` is how long one statement may take where the database is a server, which ends it then. Raises
    DatabaseRefused when there is none.
    """
    if not is_postgresql(str(url)):
        return open_sqlite_for_reading(url)
    from remit_server.adapters.database.engine.postgresql import open_postgresql_for_reading  # noqa: PLC0415

    return open_postgresql_for_reading(str(url), password_file=password_file, longest=longest)
