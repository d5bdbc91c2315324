import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from tests.ledger_values import asked

from remit_server.adapters.database import approval_tables, revocation_tables
from remit_server.adapters.database.engine import DatabaseRefused, open_database, sqlite_path
from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.database.tables import metadata

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%alembic%'"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def schema(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """Returns each table with its columns, keys, checks and indexes, whatever their order in it."""
    return {table: _parts(path, str(table)) for (table,) in asked(path, TABLES)}


def _parts(path: Path, table: str) -> set[tuple[object, ...]]:
    columns = [("column", *row[1:]) for row in asked(path, f"PRAGMA table_info({table})")]
    keys = [("key", *row[2:]) for row in asked(path, f"PRAGMA foreign_key_list({table})")]
    indexes = [
        ("index", unique, *(name for _, _, name in asked(path, f"PRAGMA index_info({index})")))
        for _, index, unique, *_ in asked(path, f"PRAGMA index_list({table})")
    ]
    ((sql,),) = asked(path, "SELECT sql FROM sqlite_master WHERE name = ?", table)
    checks = [("check", line.strip(" ,)\n\t")) for line in str(sql).splitlines() if " CHECK " in line]
    return {*columns, *keys, *indexes, *checks}


def test_every_table_is_known_to_the_metadata() -> None:
    ours = {revocation_tables.revocations, revocation_tables.denies, approval_tables.approvals}

    assert {table.name for table in ours} <= set(metadata.tables)


def test_migrations_build_what_the_code_expects(tmp_path: Path, path: Path) -> None:
    expected = tmp_path / "expected.db"
    engine = create_engine(f"sqlite:///{expected}")
    metadata.create_all(engine)
    engine.dispose()

    upgrade(path)

    assert schema(path) == schema(expected)


def test_alembic_finds_nothing_left_to_migrate(path: Path) -> None:
    upgrade(path)

    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []


def test_migrating_again_changes_nothing(path: Path) -> None:
    upgrade(path)
    asked(path, "UPDATE audit_head SET sequence = 7")

    upgrade(path)

    assert asked(path, "SELECT id, sequence FROM audit_head") == [(1, 7)]


def test_gateways_that_start_at_once_migrate_once(path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, [path] * 4))

    assert asked(path, "SELECT id, sequence, hash FROM audit_head") == [(1, 0, "0" * 64)]


def test_the_migrations_are_part_of_the_package() -> None:
    migrations = files("remit_server.adapters.database.migrations")

    assert migrations.joinpath("env.py").is_file()
    assert [one.name for one in migrations.joinpath("versions").iterdir() if one.name.startswith("v0001")]


def test_a_database_of_a_later_version_is_refused_and_left_alone(path: Path) -> None:
    upgrade(path)
    asked(path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseRefused, match="later version"):
        upgrade(path)

    assert asked(path, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    asked(path, "CREATE TABLE tasks (id INTEGER)")

    with pytest.raises(DatabaseRefused, match="cannot be brought to this version"):
        upgrade(path)

    assert asked(path, "SELECT name FROM sqlite_master") == [("tasks",)]


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
        ("postgresql://remit:hunter2@db/remit", "postgresql is not supported"),
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
