import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError
from tests.databases import Place
from tests.fakes import FakeClock
from tests.ledger_values import NAME, asked, refused_record, task_id, told_story

from remit_server.adapters.database.engine import DatabaseRefused, open_for_reading
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.trail.audit_log import (
    PAGE,
    AuditLog,
    UnreadableRecord,
    events,
    verify,
    verify_with_inputs,
)
from remit_server.domain.audit import ChainBroken, ChainedEvent, ChainIntact


@pytest.fixture
def database(place: Place) -> Place:
    return place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ledger in a file, for what is done to files."""
    return tmp_path / "ledger.db"


@pytest.fixture
async def file_story(file: Path) -> Path:
    await told_story(file)
    return file


@pytest.fixture
async def ledger(database: Place) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(database, FakeClock()) as opened:
        yield opened


@pytest.fixture
async def story(database: Place) -> Place:
    return await told_story(database)


def copy_of(database: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(database, tmp_path / "copy.db"))


def told(found: Sequence[ChainedEvent]) -> list[tuple[int, str]]:
    return [(event.sequence, event.kind) for event in found]


TASK_1 = [(1, "task_started"), (2, "grant_authorized"), (3, "credentials_issued"), (4, "task_ended")]


def test_records_come_back_in_their_order(story: Place) -> None:
    found = list(events(story))

    assert told(found)[:4] == TASK_1
    assert [event.sequence for event in found] == list(range(1, 10))
    assert json.loads(found[3].body_text)["grants"] == [NAME]


def test_records_of_a_task_and_of_a_kind_are_found(story: Place) -> None:
    assert told(list(events(story, task_id=task_id(1)))) == TASK_1
    assert told(list(events(story, kind="task_ended"))) == [(4, "task_ended"), (8, "task_ended")]
    assert told(list(events(story, task_id=task_id(2), kind="task_ended"))) == [(8, "task_ended")]
    assert list(events(story, task_id="' OR 1=1 --")) == []


def test_the_newest_come_first_where_asked(story: Place) -> None:
    assert [event.sequence for event in events(story, newest_first=True, limit=3)] == [9, 8, 7]
    assert [event.sequence for event in events(story, limit=2)] == [1, 2]
    assert list(events(story, limit=0)) == []


@pytest.mark.parametrize("newest_first", [True, False])
async def test_every_record_of_many_pages_comes_once(
    ledger: DatabaseLedger, database: Place, *, newest_first: bool
) -> None:
    count = 2 * PAGE
    for _ in range(4):
        await _record_many(ledger, count // 4)
    opened = open_for_reading(database)

    found = [event.sequence async for event in AuditLog(opened).events(newest_first=newest_first)]

    await opened.close()
    assert sorted(found, reverse=newest_first) == found
    assert len(set(found)) == count


async def _record_many(ledger: DatabaseLedger, count: int) -> None:
    await asyncio.gather(*(ledger.record(refused_record()) for _ in range(count)))


def test_an_honest_chain_verifies(story: Place) -> None:
    verdict = verify(story)

    head = asked(story, "SELECT hash FROM audit_head")[0][0]
    assert verdict == ChainIntact(9, head)


async def test_a_chain_verifies_while_it_is_written(ledger: DatabaseLedger, database: Place) -> None:
    await _record_many(ledger, 10)
    opened = open_for_reading(database)

    verdict = await AuditLog(opened).verify()

    await opened.close()
    assert isinstance(verdict, ChainIntact)
    assert verdict.count == 10
    await ledger.record(refused_record())
    later = verify(database)
    assert isinstance(later, ChainIntact)
    assert later.count == 11


def test_one_byte_changed_in_a_copy_is_named(file_story: Path, tmp_path: Path) -> None:
    copy = copy_of(file_story, tmp_path)
    raw = copy.read_bytes()
    place = raw.index(b'"purpose":"summarise Q3","task_id":"' + task_id(2).encode()) + len('"purpose":"')
    copy.write_bytes(raw[:place] + b"z" + raw[place + 1 :])

    verdict = verify(copy)

    assert verdict == ChainBroken(5, "its content is not what was recorded: the hash does not match")
    assert "zummarise" in asked(copy, "SELECT body FROM audit_events WHERE sequence = 5")[0][0]
    assert isinstance(verify(file_story), ChainIntact)


def test_verifying_a_copy_leaves_nothing_beside_it(file_story: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    copy = Path(shutil.copy(file_story, evidence))
    before = copy.read_bytes()

    verify(copy)
    list(events(copy))

    assert [file.name for file in evidence.iterdir()] == [copy.name]
    assert copy.read_bytes() == before


async def test_a_copy_with_its_log_has_every_record(file: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    async with open_ledger(file, FakeClock()) as ledger:
        await _record_many(ledger, 5)
        for one in (file, Path(f"{file}-wal")):
            shutil.copy(one, evidence)

    assert verify(evidence / file.name) == verify(file)
    assert isinstance(verify(file), ChainIntact)


def test_what_is_not_a_ledger_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
    text = tmp_path / "text.db"
    text.write_text("no database" * 1000)

    for path, why in ((tmp_path / "missing.db", "no database at"), (other, "not a ledger"), (text, "not a ledger")):
        with pytest.raises(DatabaseRefused, match=why):
            verify(path)
        with pytest.raises(DatabaseRefused, match=why):
            list(events(path))


def test_a_database_of_something_else_is_refused(empty_place: Place) -> None:
    asked(empty_place, "CREATE TABLE t (id INTEGER)")

    with pytest.raises(DatabaseRefused, match="not a ledger"):
        verify(empty_place)
    with pytest.raises(DatabaseRefused, match="not a ledger"):
        list(events(empty_place))


def test_a_row_the_ledger_did_not_write_is_not_listed_as_a_record(story: Place) -> None:
    asked(story, "UPDATE audit_events SET time = 'yesterday' WHERE sequence = 3")

    with pytest.raises(UnreadableRecord, match="record 3: its time"):
        list(events(story))


def test_inputs_are_counted_by_the_records_that_name_them(story: Place) -> None:
    _, before = verify_with_inputs(story)
    asked(story, "DELETE FROM audit_texts WHERE digest = (SELECT min(digest) FROM audit_texts)")

    _, after = verify_with_inputs(story)

    assert before is not None
    assert after is not None
    assert (before.named, before.kept, after.named, after.kept) == (2, 2, 2, 1)


async def test_a_text_that_looks_like_a_digest_is_none(ledger: DatabaseLedger, database: Place) -> None:
    await ledger.record(refused_record('"input_digest":"00","input_digest":"ff" \0 \\"input_digest":"aa"'))

    verdict, kept = verify_with_inputs(database)

    assert isinstance(verdict, ChainIntact)
    assert kept is not None
    assert (kept.named, kept.kept) == (0, 0)


def test_an_input_that_was_changed_is_named_by_its_record(story: Place) -> None:
    asked(story, "UPDATE audit_texts SET text = '{}' WHERE digest = (SELECT max(digest) FROM audit_texts)")

    verdict = verify(story)

    assert isinstance(verdict, ChainBroken)
    assert verdict.what == "the input it was decided on is not what was recorded"


def test_a_record_that_is_gone_is_named(story: Place) -> None:
    asked(story, "DELETE FROM audit_events WHERE sequence = 4")

    assert verify(story) == ChainBroken(4, "it is missing or out of order: record 5 stands in its place")


async def test_reading_writes_nothing(story: Place) -> None:
    opened = open_for_reading(story)

    with pytest.raises(DBAPIError, match=r"read-?only"):
        await opened.read(lambda connection: connection.exec_driver_sql("DELETE FROM audit_events"))

    await opened.close()
    assert isinstance(verify(story), ChainIntact)
