import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.fakes import FakeClock
from tests.ledger_values import NAME, asked, refused_record, task_id, told_story

from remit_server.adapters.database.audit_log import PAGE, AuditLog, UnreadableRecord, events, verify
from remit_server.adapters.database.engine import DatabaseRefused, open_for_reading
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.domain.audit import ChainBroken, ChainedEvent, ChainIntact


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(database: Path) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(database, FakeClock()) as opened:
        yield opened


@pytest.fixture
async def story(database: Path) -> Path:
    return await told_story(database)


def copy_of(database: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(database, tmp_path / "copy.db"))


def told(found: Sequence[ChainedEvent]) -> list[tuple[int, str]]:
    return [(event.sequence, event.kind) for event in found]


TASK_1 = [(1, "task_started"), (2, "grant_authorized"), (3, "credentials_issued"), (4, "task_ended")]


def test_records_come_back_in_their_order(story: Path) -> None:
    found = list(events(story))

    assert told(found)[:4] == TASK_1
    assert [event.sequence for event in found] == list(range(1, 10))
    assert json.loads(found[3].body_text)["grants"] == [NAME]


def test_records_of_a_task_and_of_a_kind_are_found(story: Path) -> None:
    assert told(list(events(story, task_id=task_id(1)))) == TASK_1
    assert told(list(events(story, kind="task_ended"))) == [(4, "task_ended"), (8, "task_ended")]
    assert told(list(events(story, task_id=task_id(2), kind="task_ended"))) == [(8, "task_ended")]
    assert list(events(story, task_id="' OR 1=1 --")) == []


def test_the_newest_come_first_where_asked(story: Path) -> None:
    assert [event.sequence for event in events(story, newest_first=True, limit=3)] == [9, 8, 7]
    assert [event.sequence for event in events(story, limit=2)] == [1, 2]
    assert list(events(story, limit=0)) == []


@pytest.mark.parametrize("newest_first", [True, False])
async def test_every_record_of_many_pages_comes_once(
    ledger: DatabaseLedger, database: Path, *, newest_first: bool
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


def test_an_honest_chain_verifies(story: Path) -> None:
    verdict = verify(story)

    head = asked(story, "SELECT hash FROM audit_head")[0][0]
    assert verdict == ChainIntact(9, head)


async def test_a_chain_verifies_while_it_is_written(ledger: DatabaseLedger, database: Path) -> None:
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


def test_one_byte_changed_in_a_copy_is_named(story: Path, tmp_path: Path) -> None:
    copy = copy_of(story, tmp_path)
    raw = copy.read_bytes()
    place = raw.index(b'"purpose":"summarise Q3","task_id":"' + task_id(2).encode()) + len('"purpose":"')
    copy.write_bytes(raw[:place] + b"z" + raw[place + 1 :])

    verdict = verify(copy)

    assert verdict == ChainBroken(5, "its content is not what was recorded: the hash does not match")
    assert "zummarise" in asked(copy, "SELECT body FROM audit_events WHERE sequence = 5")[0][0]
    assert isinstance(verify(story), ChainIntact)


def test_verifying_a_copy_leaves_nothing_beside_it(story: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    copy = Path(shutil.copy(story, evidence))
    before = copy.read_bytes()

    verify(copy)
    list(events(copy))

    assert [file.name for file in evidence.iterdir()] == [copy.name]
    assert copy.read_bytes() == before


async def test_a_copy_with_its_log_has_every_record(ledger: DatabaseLedger, database: Path, tmp_path: Path) -> None:
    await _record_many(ledger, 5)
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    for file in (database, Path(f"{database}-wal")):
        shutil.copy(file, evidence)

    assert verify(evidence / database.name) == verify(database)
    assert isinstance(verify(database), ChainIntact)


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


def test_a_row_the_ledger_did_not_write_is_not_listed_as_a_record(story: Path) -> None:
    asked(story, "UPDATE audit_events SET time = 'yesterday' WHERE sequence = 3")

    with pytest.raises(UnreadableRecord, match="record 3: its time"):
        list(events(story))
