"""Prepared statements against SQLAlchemy's own execution of the same statements, on a real database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Table, bindparam, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from tests.databases import Place
from tests.fakes import NOON
from tests.ledger_values import a_grant, a_task

from remit_server.adapters.database.engine import Database, open_database
from remit_server.adapters.database.migrations import migrate
from remit_server.adapters.database.schema.rows import (
    GRANT_COLUMNS,
    ISSUANCE_COLUMNS,
    TASK_COLUMNS,
    grant_row,
    task_row,
)
from remit_server.adapters.database.schema.tables import grants, issuances, signals, tasks
from remit_server.adapters.database.writing.prepared import Prepared

ADD_TASK = Prepared(insert(tasks).on_conflict_do_nothing().returning(tasks.c.task_id), columns=TASK_COLUMNS)
ADD_GRANT = Prepared(insert(grants), columns=GRANT_COLUMNS)
TASK = a_task()
GRANT_ROW = {**grant_row(a_grant()), "state_time": NOON}


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    opened = open_database(place)
    opened.write_now(migrate)
    yield opened
    opened.close_now()


def add_both(connection: Connection) -> None:
    ADD_TASK.all(connection, task_row(TASK))
    ADD_GRANT.run(connection, GRANT_ROW)


@pytest.mark.parametrize("table", [tasks, grants])
def test_what_is_written_is_read_back_alike_by_both_ways(table: Table, database: Database) -> None:
    database.write_now(add_both)

    plainly = database.read_now(lambda connection: connection.execute(select(table)).mappings().all())
    prepared = database.read_now(lambda connection: Prepared(select(table)).all(connection, {}))

    assert [dict(row) for row in plainly] == prepared
    assert len(prepared) == 1


def test_a_grant_is_read_back_as_it_was_written(database: Database) -> None:
    database.write_now(add_both)

    row = database.read_now(lambda connection: Prepared(select(grants)).first(connection, {}))

    assert row == {**GRANT_ROW, "renewing_time": None}


def test_a_row_that_is_there_already_is_answered_with_nothing(database: Database) -> None:
    first = database.write_now(lambda connection: ADD_TASK.first(connection, task_row(TASK)))
    again = database.write_now(lambda connection: ADD_TASK.first(connection, task_row(TASK)))

    assert first == {"task_id": TASK.task_id}
    assert again is None


def test_an_update_tells_how_many_rows_it_changed(database: Database) -> None:
    rename = Prepared(
        update(tasks)
        .where(tasks.c.purpose.in_([literal(TASK.purpose), literal("another")]), tasks.c.task_id == bindparam("this"))
        .values(purpose="another")
    )
    database.write_now(add_both)

    changed = database.write_now(lambda connection: rename.run(connection, {"this": TASK.task_id}))
    missed = database.write_now(lambda connection: rename.run(connection, {"this": "no such task"}))

    assert (changed, missed) == (1, 0)
    assert database.read_now(lambda connection: Prepared(select(tasks.c.purpose)).all(connection, {})) == [
        {"purpose": "another"}
    ]


def test_a_broken_constraint_is_the_error_that_sqlalchemy_raises(database: Database) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        database.write_now(lambda connection: ADD_GRANT.run(connection, GRANT_ROW))


def test_an_error_holds_no_value_of_the_statement(database: Database) -> None:
    with pytest.raises(IntegrityError) as raised:
        database.write_now(lambda connection: ADD_GRANT.run(connection, GRANT_ROW))

    assert GRANT_ROW["grant_id"] not in str(raised.value)


def test_a_value_that_is_missing_is_an_error_and_no_null(database: Database) -> None:
    with pytest.raises(KeyError, match="purpose"):
        database.write_now(
            lambda connection: ADD_TASK.all(
                connection, {name: value for name, value in task_row(TASK).items() if name != "purpose"}
            )
        )


def test_the_database_numbers_what_names_no_number(database: Database) -> None:
    add = Prepared(insert(issuances), columns=ISSUANCE_COLUMNS)
    issuance = dict.fromkeys(ISSUANCE_COLUMNS, "x") | {
        "grant_id": GRANT_ROW["grant_id"],
        "issue_time": NOON,
        "expire_time": NOON,
        "packed_policy_percent": None,
    }
    database.write_now(add_both)

    database.write_now(lambda connection: add.run_each(connection, [issuance, issuance]))

    numbers = database.read_now(lambda connection: Prepared(select(issuances.c.number)).all(connection, {}))
    assert numbers == [{"number": 1}, {"number": 2}]


ODD = ["", "\\N", "\\.", "a\tb", "a\nb", "a\r\nb", "a\\b", "\u00fc\u2014\U0001f600", "'; --", '"', "NULL", " "]


def test_rows_that_are_copied_are_those_that_are_inserted(database: Database) -> None:
    rows = [
        {"sequence": number, "kind": text, "task_id": text[::-1], "time": NOON} for number, text in enumerate(ODD, 1)
    ]
    plainly = Prepared(insert(signals))
    copied = Prepared(insert(signals), copied=True)
    read = Prepared(select(signals).order_by(signals.c.sequence))

    database.write_now(lambda connection: plainly.run_each(connection, rows[::2]))
    database.write_now(lambda connection: copied.run_each(connection, rows[1::2]))

    assert database.read_now(lambda connection: read.all(connection, {})) == rows


def test_a_copied_row_that_is_there_already_is_the_error_that_sqlalchemy_raises(database: Database) -> None:
    row = {"sequence": 1, "kind": "a", "task_id": "secret", "time": NOON}
    copied = Prepared(insert(signals), copied=True)
    database.write_now(lambda connection: copied.run_each(connection, [row]))

    with pytest.raises(IntegrityError) as raised:
        database.write_now(lambda connection: copied.run_each(connection, [row]))

    assert "secret" not in str(raised.value)
    assert len(database.read_now(lambda connection: Prepared(select(signals)).all(connection, {}))) == 1


def test_one_read_sees_one_state_of_the_database(database: Database) -> None:
    count = Prepared(select(tasks.c.task_id))

    def before_and_after(connection: Connection) -> tuple[int, int]:
        before = len(count.all(connection, {}))
        database.write_now(lambda other: ADD_TASK.all(other, task_row(TASK)))
        return before, len(count.all(connection, {}))

    assert database.read_now(before_and_after) == (0, 0)
    assert len(database.read_now(lambda connection: count.all(connection, {}))) == 1


def test_a_reader_that_writes_is_refused_as_by_sqlalchemy(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"):
        database.read_now(lambda connection: ADD_TASK.all(connection, task_row(TASK)))
