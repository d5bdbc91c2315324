"""Every statement that the database's modules hold is one that both databases take."""

import importlib
import pkgutil
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import CompoundSelect, Delete, Insert, Select, Update
from sqlalchemy.dialects.postgresql.psycopg import dialect as postgresql_dialect
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from tests.databases import connected
from tests.real_postgresql import PostgresqlServer

from remit_server.adapters import database
from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.database.writing.prepared import Prepared

LIST = re.compile(r"__\[POSTCOMPILE_.*?\]")  # a list of any length: one parameter will do here


def modules() -> Iterator[Any]:
    """Yields the modules that read or write, without the migrations, which run in the tests of their own."""
    for found in pkgutil.walk_packages(database.__path__, f"{database.__name__}."):
        if ".migrations" not in found.name:
            yield importlib.import_module(found.name)


def statements() -> Iterator[Any]:
    """Yields every statement on the level of a module, alone or in a mapping, with the columns it is given."""
    for module in modules():
        for name, value in vars(module).items():
            for one in value.values() if isinstance(value, dict) else (value,):
                statement = one.statement if isinstance(one, Prepared) else one
                if isinstance(statement, CompoundSelect | Delete | Insert | Select | Update):
                    columns = one.columns if isinstance(one, Prepared) else None
                    yield pytest.param(statement, columns, id=f"{module.__name__.rpartition('.')[2]}-{name}")


@pytest.mark.parametrize(("statement", "columns"), list(statements()))
def test_postgresql_takes_the_statement(
    postgresql: PostgresqlServer, kept_database: str, statement: Any, columns: list[str] | None
) -> None:
    dialect = postgresql_dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    text = LIST.sub("%s", str(statement.compile(dialect=dialect, column_keys=columns)))
    places = count(1)
    numbered = "".join(f"{part}${next(places)}" for part in text.split("%s"))
    prepared = numbered.rpartition("$")[0].replace("%%", "%")  # the last one has no parameter after it

    with closing(connected(postgresql.url(kept_database))) as connection:
        connection.execute(b"PREPARE it AS " + prepared.encode())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("statements") / "ledger.db"
    upgrade(path)
    return path


@pytest.mark.parametrize(("statement", "columns"), list(statements()))
def test_sqlite_takes_the_statement(file: Path, statement: Any, columns: list[str] | None) -> None:
    dialect = sqlite_dialect()
    text = LIST.sub("?", str(statement.compile(dialect=dialect, column_keys=columns)))

    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"EXPLAIN {text}", [None] * text.count("?"))


def test_statements_of_many_tables_are_looked_at() -> None:
    looked_at = " ".join(str(one.values[0]) for one in statements())

    assert all(name in looked_at for name in ("tasks", "grants", "audit_head", "audit_events", "denies", "signals"))
