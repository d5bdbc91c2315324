"""No statement of the ledger walks a table that grows: on both databases each finds its rows by an index."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Insert, bindparam, select
from sqlalchemy.dialects.postgresql.psycopg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from tests.adapters.test_statements import LIST, statements
from tests.databases import connected
from tests.real_postgresql import PostgresqlServer

from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.database.schema.tables import grants, metadata

# What grows with use, or with what is issued.
GROWING = frozenset(
    {"audit_events", "audit_texts", "grants", "issuances", "requests", "signals", "single_use_tokens", "tasks"}
)
# What reads such a table from its beginning, and may.
WALKS = {
    "audit_log-_EVENTS": "the trail is exported from the record on that is asked for",
    "evidence-EVENTS": "the same, for auditors",
    "trail-EVENTS": "a trail is verified from its first record on",
    "kept_texts-_TEXTS": "and so is every text that is kept beside it",
    "leasing-_GRACES": "once, when gateways come back after they were all away",
    "leasing-_EXTEND_ALL": "the same",
    "signal_log-_PRUNE": "the oldest signals, so many at once and no more",
}
_SCANNED = re.compile(r"Seq Scan on (\w+)")


def readings() -> Iterator[Any]:
    """Yields every statement that looks for rows, each by its name."""
    for one in statements():
        if not isinstance(one.values[0], Insert) and one.id not in WALKS:
            yield pytest.param(one.values[0], id=one.id)


def walked_on_sqlite(connection: sqlite3.Connection, statement: Any) -> set[str]:
    """Returns the tables that SQLite would read from end to end."""
    text = LIST.sub("?", str(statement.compile(dialect=sqlite_dialect())))
    told = connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?"))
    steps = [str(step[-1]) for step in told]
    return {step.split()[1] for step in steps if step.startswith("SCAN ")}


def walked_on_postgresql(connection: Any, statement: Any) -> set[str]:
    """Returns the tables that PostgreSQL would have to read from end to end, whatever it took otherwise."""
    dialect = postgresql_dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    text = LIST.sub("%s", str(statement.compile(dialect=dialect)))
    places = count(1)
    parts = text.split("%s")
    numbered = "".join(f"{part}${next(places)}" for part in parts[:-1]) + parts[-1]
    connection.execute(b"PREPARE it AS " + numbered.replace("%%", "%").encode())
    nothing = f"({', '.join(['NULL'] * (len(parts) - 1))})" if len(parts) > 1 else ""
    told = connection.execute(f"EXPLAIN EXECUTE it{nothing}".encode()).fetchall()
    connection.execute(b"DEALLOCATE it")
    return set(_SCANNED.findall("\n".join(row[0] for row in told)))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "ledger.db"
    upgrade(path)
    return path


@pytest.fixture(scope="module")
def planned(postgresql: PostgresqlServer, kept_database: str) -> Iterator[Any]:
    with closing(connected(postgresql.url(kept_database))) as connection:
        connection.execute(b"SET enable_seqscan = off")  # then one that is left has no index to take
        connection.execute(b"SET plan_cache_mode = force_generic_plan")  # whatever the parameters are
        yield connection


@pytest.mark.parametrize("statement", list(readings()))
def test_sqlite_finds_rows_by_an_index(file: Path, statement: Any) -> None:
    with closing(sqlite3.connect(file)) as connection:
        assert not walked_on_sqlite(connection, statement) & GROWING


@pytest.mark.parametrize("statement", list(readings()))
def test_postgresql_finds_rows_by_an_index(planned: Any, statement: Any) -> None:
    assert not walked_on_postgresql(planned, statement) & GROWING


def test_a_statement_without_an_index_is_found_out(file: Path, planned: Any) -> None:
    by_region = select(grants.c.grant_id).where(grants.c.region == bindparam("region"))

    with closing(sqlite3.connect(file)) as connection:
        assert walked_on_sqlite(connection, by_region) == {"grants"}
    assert walked_on_postgresql(planned, by_region) == {"grants"}


def test_what_may_walk_and_what_grows_is_there() -> None:
    assert {str(one.id) for one in statements()} >= WALKS.keys()
    assert metadata.tables.keys() >= GROWING
