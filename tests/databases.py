"""What a ledger is kept in: tests of a store run on a fresh file of SQLite and on an empty database of PostgreSQL."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
from tests.real_postgresql import PostgresqlServer, postgresql_server

from remit_server.adapters.database.engine.patience import LOCK
from remit_server.adapters.database.migrations import upgrade
from remit_server.config.postgresql import is_postgresql, postgresql_address

Place: TypeAlias = str | Path  # what is opened: a file, or a URL
_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
)
# To delete what one test wrote takes some milliseconds, to create and drop a database with fsync almost a second.
_EMPTY = """
DO $$ DECLARE name text; BEGIN
  SET LOCAL session_replication_role = 'replica';  -- whatever refers to what
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
  FOR name IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', name);
  END LOOP;
  INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, repeat('0', 64));
  INSERT INTO presence (id, seen_time) VALUES (1, '1970-01-01T00:00:00.000000+00:00');
END $$
"""
_JSON = re.compile(r"json_extract\((\w+), '\$\.(\w+)'\)")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """One server for each process of the tests; where PostgreSQL is missing its tests are skipped, or fail."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def kept_database(postgresql: PostgresqlServer) -> str:
    """The name of a database with the tables of the ledger, which one test after the other is given emptied."""
    name = postgresql.create()
    upgrade(postgresql.url(name))
    return name


def empty(server: PostgresqlServer, name: str) -> None:
    """Ends whatever is connected to a database, and takes everything out of its tables."""
    server.asked(_END_SESSIONS)
    server.asked(_EMPTY, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a ledger can be opened that has no records yet: on both databases, one after the other.

    Whoever changes tables there takes `empty_place`.
    """
    if request.param == "sqlite":
        yield tmp_path / "ledger.db"
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        name = request.getfixturevalue("kept_database")
        yield server.url(name)
        empty(server, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a ledger can be opened of which there are no tables yet, on both databases."""
    yield from _empty(request, request.param, tmp_path / "ledger.db")


@pytest.fixture
def another_place(request: pytest.FixtureRequest, empty_place: Place, tmp_path: Path) -> Iterator[Place]:
    """A second one beside `empty_place`, of the same kind."""
    yield from _empty(request, "postgresql" if is_postgresql(str(empty_place)) else "sqlite", tmp_path / "another.db")


def _empty(request: pytest.FixtureRequest, kind: str, path: Path) -> Iterator[Place]:
    if kind == "sqlite":
        yield path
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        yield server.url(server.create())  # it goes with the server


def asked(place: Place, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Asks the database directly, as somebody beside the gateway would; the query is in the words of SQLite."""
    if not is_postgresql(str(place)):
        with closing(sqlite3.connect(place)) as connection, connection:
            return connection.execute(query, values).fetchall()
    words = _JSON.sub(r"(\1::json ->> '\2')", query.replace("%", "%%").replace("?", "%s"))
    with closing(connected(place)) as other, other:
        cursor = other.execute(words.encode(), values)
        return cursor.fetchall() if cursor.description else []


def run_script(place: Place, text: str) -> None:
    """Runs statements that both databases take."""
    if not is_postgresql(str(place)):
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.executescript(text)
    else:
        with closing(connected(place)) as other, other:
            other.execute(text.encode())


@contextmanager
def held(place: Place) -> Iterator[None]:
    """Holds the write lock of the database, as a process that was stopped in a transaction does."""
    if not is_postgresql(str(place)):
        with closing(sqlite3.connect(place, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            yield
    else:
        with closing(connected(place)) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            yield


def connected(place: Place) -> psycopg.Connection[tuple[Any, ...]]:
    """Connects to a database of PostgreSQL, beside the gateway."""
    parameters: Any = postgresql_address(str(place)).parameters
    return psycopg.connect(**parameters)
