import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Inspector, create_engine, inspect
from tests.databases import Place, connected, held, run_script
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    COPILOT,
    ISSUER,
    a_grant,
    an_authorization,
    an_issuance,
    asked,
    grant_id,
    issued_record,
    state_of,
    task_id,
)

from remit_server.adapters.database.engine import DatabaseRefused, open_database, sqlite_path
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.database.schema import approval_tables, policy_tables, revocation_tables
from remit_server.adapters.database.schema.tables import metadata
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.domain.audit import ChainIntact
from remit_server.domain.errors import Denied, Reason

VERSION_1 = Path(__file__).resolve().parents[1] / "golden/ledgers/version_0001.sql"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def opened(place: Place) -> Iterator[Connection]:
    """A connection of SQLAlchemy's own, without ours."""
    engine = (
        create_engine(f"sqlite:///{place}") if isinstance(place, Path) else create_engine(_URL, creator=_dial(place))
    )
    with engine.begin() as connection:
        yield connection
    engine.dispose()


_URL = "postgresql+psycopg://"


def _dial(place: Place) -> Callable[[], psycopg.Connection[Any]]:
    return lambda: connected(place)


def schema(place: Place) -> dict[str, set[tuple[object, ...]]]:
    """Returns each table with its columns, keys, checks and indexes, whatever their order in it."""
    with opened(place) as connection:
        found = inspect(connection)
        return {table: _parts(found, table) for table in found.get_table_names() if table != "alembic_version"}


def _parts(found: Inspector, table: str) -> set[tuple[object, ...]]:
    return {
        *(
            ("column", one["name"], str(one["type"]), one["nullable"], one["default"])
            for one in found.get_columns(table)
        ),
        ("primary key", *found.get_pk_constraint(table)["constrained_columns"]),
        *(
            ("key", *one["constrained_columns"], one["referred_table"], *one["referred_columns"])
            for one in found.get_foreign_keys(table)
        ),
        *(
            ("index", one["name"], one["unique"], *one["column_names"], _rows_of(one))
            for one in found.get_indexes(table)
        ),
        *(("check", one["name"], one["sqltext"]) for one in found.get_check_constraints(table)),
    }


def _rows_of(index: Any) -> str:
    """Returns of which rows an index is; nothing where it is of all."""
    options = index.get("dialect_options", {})
    return "".join(str(value) for name, value in options.items() if name.endswith("_where"))


def migrated_to(place: Place, revision: str) -> None:
    """Brings an empty database to the tables of an earlier version."""
    with opened(place) as connection:
        config = Config()
        config.set_main_option("script_location", str(files("remit_server.adapters.database.migrations")))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_every_table_is_known_to_the_metadata() -> None:
    ours = {
        revocation_tables.revocations,
        revocation_tables.denies,
        approval_tables.approvals,
        policy_tables.policy_revisions,
    }

    assert {table.name for table in ours} <= set(metadata.tables)


def test_migrations_build_what_the_code_expects(empty_place: Place, another_place: Place) -> None:
    with opened(another_place) as connection:
        metadata.create_all(connection)

    upgrade(empty_place)

    assert schema(empty_place) == schema(another_place)


def test_alembic_finds_nothing_left_to_migrate(place: Place) -> None:
    upgrade(place)

    with opened(place) as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_migrating_again_changes_nothing(place: Place) -> None:
    upgrade(place)
    asked(place, "UPDATE audit_head SET sequence = 7")

    upgrade(place)

    assert asked(place, "SELECT id, sequence FROM audit_head") == [(1, 7)]


def test_gateways_that_start_at_once_migrate_once(empty_place: Place) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, [empty_place] * 4))

    assert asked(empty_place, "SELECT id, sequence, hash FROM audit_head") == [(1, 0, "0" * 64)]


def test_a_file_that_another_is_about_to_close_is_waited_for(path: Path) -> None:
    upgrade(path)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as closing_it:
        closing_it.execute("PRAGMA locking_mode=EXCLUSIVE")
        closing_it.execute("BEGIN IMMEDIATE")
        closing_it.execute("COMMIT")  # the lock stays until the file is closed
        let_go = threading.Timer(0.2, closing_it.close)
        let_go.start()

        database = open_database(path, patience=timedelta(milliseconds=10))

    database.close_now()
    let_go.join()


LOADS_BEFORE_ITS_TURN = """
import sys, threading, time
from remit_server.adapters.database.engine import open_database
from remit_server.adapters.database.migrations import bring_up_to_date

database = open_database(sys.argv[1])
print("opened", flush=True)
sys.stdin.readline()
starting = threading.Thread(target=bring_up_to_date, args=(database,))
starting.start()
while "alembic.command" not in sys.modules and starting.is_alive():
    time.sleep(0.01)
print("loaded" if starting.is_alive() else "too late", flush=True)
starting.join()
database.close_now()
"""


def test_a_start_holds_nobody_up_while_it_loads_what_migrates(empty_place: Place) -> None:
    upgrade(empty_place)
    program = [sys.executable, "-c", LOADS_BEFORE_ITS_TURN, str(empty_place)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None
        assert process.stdout is not None
        opened_it = process.stdout.readline().strip()
        with held(empty_place):
            process.stdin.write("\n")
            process.stdin.flush()
            said = process.stdout.readline().strip()
        code = process.wait(60)

    assert (opened_it, said, code) == ("opened", "loaded", 0)


async def test_a_ledger_of_the_first_version_goes_on_with_what_is_in_it(empty_place: Place) -> None:
    migrated_to(empty_place, "0001")
    run_script(empty_place, VERSION_1.read_text())
    (count,) = asked(empty_place, "SELECT sequence FROM audit_head")[0]

    async with open_ledger(empty_place, FakeClock()) as ledger:
        known = {number: await ledger.remembered(COPILOT.actor_id, f"request-{number}") for number in range(1, 7)}
        await ledger.authorize(an_authorization("request-7", grant=a_grant(7, 1), single_use=(ISSUER, "token-1")))
        await ledger.issue(grant_id(7), an_issuance(7), issued_record(7, 1))
        with pytest.raises(Denied):
            await ledger.authorize(an_authorization("request-8", grant=a_grant(8, 3), single_use=(ISSUER, "token-1")))
        await ledger.end_task(task_id(1), COPILOT, NOON)

    states = {
        number: one.grant.state.value for number, one in known.items() if one is not None and one.grant is not None
    }
    assert states == {1: "ISSUED", 2: "REVOKING", 3: "FAILED", 4: "AUTHORIZED", 6: "EXPIRED"}
    assert known[1] is not None
    assert known[1].grant is not None
    assert [one.access_key_id for one in known[1].grant.issuances] == [an_issuance(1).access_key_id]
    assert known[5] is not None
    assert known[5].refusal is not None
    assert known[5].refusal.reason is Reason.POLICY_DENIED
    assert [state_of(empty_place, 1), state_of(empty_place, 7)] == ["REVOKING", "REVOKING"]
    verdict = verify(empty_place)
    assert isinstance(verdict, ChainIntact)
    assert verdict.count == count + 3


def test_a_migration_that_fails_leaves_every_row_as_it_was(empty_place: Place) -> None:
    migrated_to(empty_place, "0001")
    run_script(empty_place, VERSION_1.read_text())
    asked(empty_place, "CREATE TABLE signals (id INTEGER)")
    before = asked(empty_place, "SELECT * FROM grants ORDER BY grant_id")

    with pytest.raises(DatabaseRefused, match="cannot be brought to this version"):
        upgrade(empty_place)

    assert asked(empty_place, "SELECT * FROM grants ORDER BY grant_id") == before
    assert asked(empty_place, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_the_migrations_are_part_of_the_package() -> None:
    migrations = files("remit_server.adapters.database.migrations")

    assert migrations.joinpath("env.py").is_file()
    assert [one.name for one in migrations.joinpath("versions").iterdir() if one.name.startswith("v0001")]


def test_a_database_of_a_later_version_is_refused_and_left_alone(empty_place: Place) -> None:
    upgrade(empty_place)
    asked(empty_place, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseRefused, match="later version"):
        upgrade(empty_place)

    assert asked(empty_place, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_database_of_something_else_is_refused_and_left_alone(empty_place: Place) -> None:
    asked(empty_place, "CREATE TABLE tasks (id INTEGER)")

    with pytest.raises(DatabaseRefused, match="cannot be brought to this version"):
        upgrade(empty_place)

    with opened(empty_place) as connection:
        assert inspect(connection).get_table_names() == ["tasks"]


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one" * 100)

    with pytest.raises(DatabaseRefused, match="cannot be opened"):
        upgrade(path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused, match="No such file or directory"):
        upgrade(tmp_path / "missing" / "ledger.db")


def test_the_file_is_its_owners_only(path: Path) -> None:
    database = open_database(path)
    database.write_now(lambda connection: connection.exec_driver_sql("CREATE TABLE one (id INTEGER)"))

    assert [mode(file) for file in path.parent.iterdir()] == [0o600] * 4  # with its log, the log's index and the turns
    database.close_now()


def test_an_open_file_is_closed_to_others(path: Path) -> None:
    path.touch(mode=0o644)

    open_database(path).close_now()

    assert mode(path) == 0o600


def test_writing_is_durable_and_keys_are_held(path: Path) -> None:
    database = open_database(path)

    pragmas = database.write_now(
        lambda connection: [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    database.close_now()

    assert pragmas == ["wal", 2, 1]


def test_a_reader_cannot_write(path: Path) -> None:
    upgrade(path)
    database = open_database(path)

    with pytest.raises(Exception, match="readonly"):
        database.read_now(lambda connection: connection.exec_driver_sql("DELETE FROM audit_head"))

    database.close_now()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM audit_head").fetchone() == (1,)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/lib/remit.db", "/var/lib/remit.db"),
        ("sqlite:///remit.db", "remit.db"),
        ("/var/lib/remit.db", "/var/lib/remit.db"),
        ("remit 100%.db", "remit 100%.db"),
    ],
)
def test_a_database_is_named_by_url_or_path(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://remit:hunter2@db/remit", "mysql is not supported"),
        ("sqlite+aiosqlite:///remit.db", "aiosqlite is not supported"),
        ("sqlite://", "must be on disk"),
        ("sqlite:///:memory:", "must be on disk"),
        (":memory:", "must be on disk"),
        ("", "must be on disk"),
        ("sqlite:///file:remit.db", "must be on disk"),
        ("sqlite:///remit.db?mode=memory", "without host or options"),
        ("sqlite://host/remit.db", "without host or options"),
        ("://", "cannot be read"),
    ],
)
def test_any_other_database_is_refused_without_telling_its_password(url: str, why: str) -> None:
    with pytest.raises(DatabaseRefused, match=why) as raised:
        sqlite_path(url)

    assert "hunter2" not in str(raised.value)
