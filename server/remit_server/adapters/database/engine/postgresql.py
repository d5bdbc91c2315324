"""Opens a database of PostgreSQL: the same transactions as on SQLite, over a few connections that do not wait for ever.

A transaction that writes begins with one advisory lock, for which PostgreSQL queues in order: it is the turn of the
replicas, as the locked file is that of SQLite's processes. The head row of the chain is locked besides, by the work.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from remit_server.adapters.database.engine.database import PATIENCE, READERS, Database, DatabaseRefused
from remit_server.adapters.database.engine.patience import LIMIT, PatientConnection, ServerTurns
from remit_server.adapters.database.writing.prepared import run_text
from remit_server.config.postgresql import AddressRefused, PostgresqlAddress, postgresql_address

OLDEST: Final = 150_000  # as the server tells its version: 15.0
MAX_PASSWORD: Final = 16_384
_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SESSION: Final = {
    "client_connection_check_interval": "1s",  # a transaction whose gateway is gone waits for no lock
    "idle_in_transaction_session_timeout": "5s",  # a gateway that was stopped in one holds up no other for longer
}
_STATEMENTS: Final = {"statement_timeout": "4s"}  # before the client gives up the connection
_PLAIN: Final = {"connect_timeout": "2", "keepalives_idle": "2", "keepalives_interval": "1", "keepalives_count": "3"}
# The tables compare and sort text, times among it, byte by byte on both databases.
_FACTS: Final = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), "
    "'Z'::text < 'a'::text AND '_' < 'a'::text AND '+' < '-'::text, current_setting('fsync'), "
    "current_setting('synchronous_commit')"
)


def open_postgresql(url: str, *, password_file: Path | None, patience: timedelta = PATIENCE) -> Database:
    """Opens the database for a gateway; the password is read from its file at each connection.

    Raises DatabaseRefused when it cannot be reached or would not keep what is written.
    """
    address = _address(url)
    dial = _dialler(address, password_file, {**_SESSION, **_STATEMENTS}, LIMIT)
    # Beyond the readers one connection more, with which a writer that waits looks who holds it up.
    reader = _engine(dial, size=READERS + 1, patience=patience)
    event.listen(reader, "begin", lambda connection: run_text(connection, _READ))
    turns = ServerTurns(reader, patience.total_seconds())
    writer = _engine(dial, size=1, patience=patience)
    event.listen(writer, "begin", turns.begin)
    database = Database(reader, writer, turns)
    _check(database, address, _hold_to_what_a_ledger_needs)
    return database


def open_postgresql_for_reading(url: str, *, password_file: Path | None, longest: timedelta | None) -> Database:
    """Opens a database without ever writing to it, for statements that may take so long.

    Without a file libpq finds the password: PGPASSWORD, PGPASSFILE, ~/.pgpass.
    """
    address = _address(url)
    session = {} if longest is None else {"statement_timeout": f"{int(longest.total_seconds() * 1000)}ms"}
    limit = None if longest is None else longest.total_seconds() + 1
    reader = _engine(_dialler(address, password_file, session, limit), size=1, patience=PATIENCE)
    event.listen(reader, "begin", lambda connection: run_text(connection, _READ))
    database = Database(reader)
    _check(database, address, lambda _: None)
    return database


def _address(url: str) -> PostgresqlAddress:
    try:
        return postgresql_address(url)
    except AddressRefused as error:
        raise DatabaseRefused(f"the database URL {error.problem}: {error.mend}") from None


def connect_parameters(address: PostgresqlAddress, password_file: Path | None) -> dict[str, str]:
    """Returns what libpq connects with; the password is read anew, so that it may be changed while we run."""
    found = {**_PLAIN, **address.parameters, "tcp_user_timeout": "3000", "application_name": "remit-server"}
    if password_file is not None:
        with password_file.open("rb") as file:
            found["password"] = file.read(MAX_PASSWORD).decode("ascii").removesuffix("\n").removesuffix("\r")
    return found


def _dialler(
    address: PostgresqlAddress, password_file: Path | None, session: dict[str, str], limit: float | None
) -> Callable[[], PatientConnection]:
    """Returns what connects; a session of these settings that gives up a silent server after the limit."""
    options = " ".join(f"-c {name}={value}" for name, value in session.items())

    def dial() -> PatientConnection:
        parameters: dict[str, Any] = {**connect_parameters(address, password_file), "options": options}
        # Transactions are begun by the engine, so the driver begins none.
        connection = PatientConnection.connect(**parameters, client_encoding="utf8", autocommit=True)
        connection.limit = limit
        return connection

    return dial


def _engine(dial: Callable[[], PatientConnection], *, size: int, patience: timedelta) -> Engine:
    """Returns an engine over such connections; the URL says the dialect, and nothing of where the database is."""
    return create_engine(
        "postgresql+psycopg://",
        creator=dial,
        paramstyle="format",
        use_native_hstore=False,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=patience.total_seconds(),
        hide_parameters=True,
    )


def _check(database: Database, address: PostgresqlAddress, check: Callable[[Connection], None]) -> None:
    """Connects and checks; closes the database and raises DatabaseRefused for what is wrong."""
    try:
        database.read_now(check)
    except DatabaseRefused as error:
        database.close_now()
        raise DatabaseRefused(f"{address.name} {error}") from None
    except (DBAPIError, psycopg.Error, OSError, ValueError) as error:
        database.close_now()
        why = error.orig if isinstance(error, DBAPIError) else error
        raise DatabaseRefused(f"{address.name} cannot be opened: {' '.join(str(why).split())}") from error


def _hold_to_what_a_ledger_needs(connection: Connection) -> None:
    """Raises DatabaseRefused for a server that would lose what it has committed, or compare it otherwise."""
    version, encoding, bytewise, fsync, commit = connection.exec_driver_sql(_FACTS).one()
    if version < OLDEST:
        raise DatabaseRefused("is of a server before version 15: use a later one")
    if encoding != "UTF8" or not bytewise:
        raise DatabaseRefused(
            "does not compare text byte by byte: create it with "
            "CREATE DATABASE remit TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    if fsync != "on" or commit == "off":
        raise DatabaseRefused(
            "would lose records that it has confirmed: set fsync and synchronous_commit to on "
            "(no record, no credentials)"
        )
