"""What a PostgreSQL database must be, how it is reached, and the least that its roles need."""

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    COPILOT,
    ISSUER,
    a_key,
    an_issuance,
    asked,
    grant_id,
    issued_record,
    opening,
    refused_record,
    task_id,
)
from tests.real_postgresql import PostgresqlServer
from typer.testing import CliRunner

from remit_sandbox.certificates import Authority
from remit_server.adapters.database.engine import START_PATIENCE, DatabaseRefused, open_database, open_for_reading
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.database.schema import approval_tables, policy_tables, revocation_tables, tables
from remit_server.adapters.database.trail.audit_log import verify_with_inputs
from remit_server.adapters.database.trail.erasing import erase_unused
from remit_server.adapters.database.writing.privileges import NEEDED, NUMBERED, statements
from remit_server.cli import audit
from remit_server.cli.database import app
from remit_server.domain.audit import ChainIntact
from remit_server.domain.decision import KeptText
from remit_server.domain.errors import Denied, Reason


@pytest.fixture
def name(postgresql: PostgresqlServer) -> str:
    return postgresql.create()


# How it is reached


def test_a_server_is_reached_over_tls_with_the_password_of_a_file(postgresql: PostgresqlServer, name: str) -> None:
    database = open_database(postgresql.url_over_tls(name), password_file=postgresql.password_file)

    encrypted = database.read_now(
        lambda connection: connection.exec_driver_sql(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        ).scalar_one()
    )

    database.close_now()
    assert encrypted is True


def test_a_server_that_another_authority_vouches_for_is_refused(
    postgresql: PostgresqlServer, name: str, tmp_path: Path
) -> None:
    other = Authority.create(tmp_path / "other").bundle_path
    url = postgresql.url_over_tls(name).replace(str(postgresql.authorities), str(other))

    with pytest.raises(DatabaseRefused, match="certificate verify failed"):
        open_database(url, password_file=postgresql.password_file)


def test_a_wrong_password_is_refused_without_telling_it(
    postgresql: PostgresqlServer, name: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("hunter2\n")

    with pytest.raises(DatabaseRefused, match="password authentication failed") as raised:
        open_database(postgresql.url_over_tls(name), password_file=wrong)

    assert "hunter2" not in str(raised.value)


def test_a_changed_password_is_taken_at_the_next_connection(
    postgresql: PostgresqlServer, name: str, tmp_path: Path
) -> None:
    postgresql.asked("CREATE ROLE changing LOGIN SUPERUSER PASSWORD 'before'")
    password = tmp_path / "password"
    password.write_text("before\n")
    database = open_database(postgresql.url_over_tls(name, "changing"), password_file=password)

    postgresql.asked("ALTER ROLE changing PASSWORD 'after'")
    password.write_text("after")
    database.reader.dispose()
    answer = database.read_now(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())

    database.close_now()
    assert answer == 1


def test_a_password_file_that_is_gone_is_told(postgresql: PostgresqlServer, name: str, tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused, match="No such file"):
        open_database(postgresql.url_over_tls(name), password_file=tmp_path / "none")


def test_a_server_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused, match=re.escape(f"the database ledger at {tmp_path} cannot be opened")):
        open_database(f"postgresql:///ledger?host={tmp_path}")


def test_a_gateway_holds_few_connections(postgresql: PostgresqlServer, name: str) -> None:
    database = open_database(postgresql.url(name))
    for work in (database.read_now, database.write_now):
        work(lambda connection: connection.exec_driver_sql("SELECT 1").scalar_one())

    ((sessions,),) = postgresql.asked(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608

    database.close_now()
    assert sessions == 2


def setting(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())


def test_a_statement_is_ended_by_the_server_unless_a_migration_makes_it(
    postgresql: PostgresqlServer, name: str
) -> None:
    database = open_database(postgresql.url(name))
    reading = open_for_reading(postgresql.url(name))
    bounded = open_for_reading(postgresql.url(name), longest=timedelta(seconds=3))

    found = [
        database.write_now(setting),
        database.read_now(setting),
        database.write_now(setting, START_PATIENCE),
        database.write_now(setting),
        reading.read_now(setting),
        bounded.read_now(setting),
    ]

    for opened in (database, reading, bounded):
        opened.close_now()
    assert found == ["4s", "4s", "0", "4s", "0", "3s"]


async def test_the_audit_trail_is_read_with_the_password_of_a_file_or_of_libpq(
    postgresql: PostgresqlServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_ledger(postgresql.url(name), FakeClock()) as ledger:
        await ledger.record(refused_record())
    verify = ["verify", "--database", postgresql.url_over_tls(name)]
    password = postgresql.password_file.read_text()

    without = CliRunner().invoke(audit.app, verify)
    by_file = CliRunner().invoke(audit.app, [*verify, "--password-file", str(postgresql.password_file)])
    monkeypatch.setenv("PGPASSWORD", password)
    by_environment = CliRunner().invoke(audit.app, verify)

    assert [one.exit_code for one in (without, by_file, by_environment)] == [2, 0, 0]
    assert "no password supplied" in without.stderr
    assert "intact: 1 records" in by_environment.stdout
    assert all(password not in one.output for one in (without, by_file, by_environment))


# What it must be


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("ENCODING 'SQL_ASCII' LOCALE 'C'", "LC_COLLATE 'C'"),
        ("ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'", "LC_COLLATE 'C'"),
    ],
)
def test_a_database_that_compares_text_otherwise_is_refused_with_what_to_write(
    postgresql: PostgresqlServer, options: str, why: str
) -> None:
    postgresql.asked(f"CREATE DATABASE otherwise TEMPLATE template0 {options}")

    try:
        with pytest.raises(DatabaseRefused, match=why):
            open_database(postgresql.url("otherwise"))
    finally:
        postgresql.drop("otherwise")


def test_a_database_that_does_not_wait_for_the_disk_is_refused(postgresql: PostgresqlServer, name: str) -> None:
    postgresql.asked(f"ALTER DATABASE {name} SET synchronous_commit = off")

    with pytest.raises(DatabaseRefused, match="would lose records"):
        open_database(postgresql.url(name))


# Roles


@pytest.fixture
def owned(postgresql: PostgresqlServer, name: str) -> Iterator[str]:
    """A database whose tables belong to an owner, and that `gateway` and `auditor` have their rights in."""
    for role in ("owner", "gateway", "auditor"):
        postgresql.asked(f"CREATE ROLE {role} LOGIN")
    postgresql.asked(f"ALTER DATABASE {name} OWNER TO owner")
    upgrade(postgresql.url(name, "owner"))
    for arguments in (["grants", "gateway"], ["grants", "auditor", "--reader"]):
        for statement in CliRunner().invoke(app, arguments).stdout.splitlines():
            postgresql.asked(statement, name, "owner")
    yield name
    postgresql.drop(name)
    for role in ("owner", "gateway", "auditor"):
        postgresql.asked(f"DROP ROLE {role}")


async def test_a_gateway_works_under_a_role_that_may_change_no_record_and_make_no_table(
    postgresql: PostgresqlServer, owned: str
) -> None:
    clock = FakeClock()
    async with open_ledger(postgresql.url(owned, "gateway"), clock) as ledger:
        await ledger.authorize(opening(1, single_use=(ISSUER, "token-1")))
        await ledger.issue(grant_id(1), an_issuance(), issued_record())
        await ledger.authorize(opening(2))
        await ledger.refuse(a_key("request-3"), Denied(Reason.POLICY_DENIED, "no"), refused_record())
        await ledger.end_task(task_id(1), COPILOT, NOON)
        clock.advance(minutes=20)
        swept = await ledger.sweep(clock.now())

    assert swept == 3
    verdict, inputs = verify_with_inputs(postgresql.url(owned, "auditor"))
    assert isinstance(verdict, ChainIntact)
    assert inputs is not None
    assert inputs.kept == 2
    arguments = ["explain", task_id(1), "--database", postgresql.url(owned, "auditor")]
    explained = await asyncio.to_thread(CliRunner().invoke, audit.app, arguments)
    assert explained.exit_code == 0, explained.output
    assert f"Grant tasks/{task_id(1)}" in explained.stdout


def test_a_role_that_may_not_read_is_told_so_and_what_gives_it_the_right(
    postgresql: PostgresqlServer, owned: str
) -> None:
    postgresql.asked("REVOKE SELECT ON issuances, audit_events FROM auditor", owned, "owner")
    url = postgresql.url(owned, "auditor")

    explained = CliRunner().invoke(audit.app, ["explain", "ASIAEXAMPLEEXAMPLE00", "--database", url])
    listed = CliRunner().invoke(audit.app, ["list", "--database", url])

    assert (explained.exit_code, listed.exit_code) == (2, 2)
    assert "may not read it: permission denied for table issuances" in explained.stderr
    assert "permission denied for table audit_events" in listed.stderr
    assert all("database grants ROLE --reader" in one.stderr for one in (explained, listed))


async def test_a_gateways_role_may_erase_what_was_not_used_for_long(postgresql: PostgresqlServer, owned: str) -> None:
    clock = FakeClock()
    async with open_ledger(postgresql.url(owned, "gateway"), clock) as ledger:
        await ledger.record(refused_record(), kept=[KeptText('{"old":1}')])
        clock.advance(days=40)

        erased = await ledger.store.commit(lambda batch: erase_unused(batch, clock.now() - timedelta(days=31)))

    assert erased == 1
    assert isinstance(verify_with_inputs(postgresql.url(owned, "auditor"))[0], ChainIntact)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("gateway", "UPDATE audit_events SET body = ''"),
        ("gateway", "DELETE FROM audit_events"),
        ("gateway", "TRUNCATE audit_events"),
        ("gateway", "UPDATE audit_texts SET text = ''"),
        ("gateway", "DELETE FROM audit_head"),
        ("gateway", "INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, '')"),
        ("gateway", "DELETE FROM grants"),
        ("gateway", "DELETE FROM single_use_tokens"),
        ("gateway", "UPDATE issuances SET access_key_id = ''"),
        ("gateway", "DELETE FROM policy_revisions"),
        ("gateway", "UPDATE policy_revisions SET built_time = NULL"),
        ("gateway", "DELETE FROM policy_archives"),
        ("gateway", "UPDATE policy_archives SET content = ''"),
        ("gateway", "DELETE FROM policy_activations"),
        ("gateway", "DELETE FROM shadow_counts"),
        ("gateway", "CREATE TABLE mine (id INTEGER)"),
        ("gateway", "DROP TABLE audit_events"),
        ("auditor", "SELECT * FROM single_use_tokens"),
        ("auditor", "UPDATE grants SET state = ''"),
        ("auditor", "INSERT INTO audit_texts (digest, text) VALUES ('', '')"),
    ],
)
def test_a_role_may_do_no_more(postgresql: PostgresqlServer, owned: str, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        postgresql.asked(statement, owned, role)


def test_the_privileges_name_every_table_and_every_numbered_column() -> None:
    known = {
        *tables.metadata.tables.values(),
        revocation_tables.denies,
        approval_tables.notifications,
        policy_tables.policy_shadows,
    }
    numbered = {
        f"{table.name}_{column.name}_seq"
        for table in known
        for column in table.primary_key
        if column is table.autoincrement_column
    }

    assert set(NEEDED) == {*(table.name for table in known), "alembic_version"}
    assert set(NUMBERED) == numbered


def test_a_role_with_an_odd_name_is_quoted() -> None:
    assert next(iter(statements('a"; DROP TABLE tasks; --'))).endswith('TO "a""; DROP TABLE tasks; --";')


def test_a_gateway_that_may_not_migrate_says_so(postgresql: PostgresqlServer, name: str) -> None:
    postgresql.asked("CREATE ROLE newcomer LOGIN")

    try:
        with pytest.raises(DatabaseRefused, match="permission denied for schema public"):
            upgrade(postgresql.url(name, "newcomer"))
    finally:
        postgresql.asked("DROP ROLE newcomer")


def test_the_command_migrates_and_says_what_is_wrong(postgresql: PostgresqlServer, name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["migrate", "--database", postgresql.url(name)])
    failed = CliRunner().invoke(app, ["migrate", "--database", f"postgresql:///x?host={tmp_path}"])

    again = CliRunner().invoke(app, ["migrate", "--database", postgresql.url(name)])

    assert (done.exit_code, failed.exit_code, again.exit_code) == (0, 2, 0)
    assert done.stdout.startswith("The tables were created")
    assert again.stdout.startswith("Nothing was to do")
    assert asked(postgresql.url(name), "SELECT count(*) FROM audit_head") == [(1,)]
    assert "cannot be opened" in failed.stderr
