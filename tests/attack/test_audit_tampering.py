"""G9 (tampering), G10 (a sink that is full), G11 (injection), I1 and I7 (a process that dies): against real files."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event
from tests.fakes import FakeClock
from tests.ledger_values import COPILOT, a_key, asked, kinds, opening, refused_record, told_story

from remit_server.adapters.database.audit_log import events, verify
from remit_server.adapters.database.engine import open_database
from remit_server.adapters.database.group_commit import GroupCommit
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.migrations import migrate
from remit_server.domain.audit import ChainBroken, ChainIntact, RequestRefused, Who
from remit_server.domain.errors import Denied, Outage, Reason

RECORDS = 9
CHANGES = [
    ("time = '2026-11-23T12:00:00.000001+00:00'", "its content"),
    ("time = '2026-11-23 12:00:00.000000+00:00'", "its time"),
    ("time = '2026-11-23T12:00:00.000000Z'", "its time"),
    ("time = '2026-11-23T13:00:00.000000+01:00'", "its time"),
    ("time = 7", "its time"),
    ("kind = 'grant_expired'", "its content"),
    ("kind = upper(kind)", "its content"),
    ("body = replace(body, 'alice', 'malice')", "its content"),
    ("body = body || ' '", "its content"),
    ("body = CAST(body AS BLOB)", "not text"),
    ("body = CAST(x'7B22FF227D' AS TEXT)", "the task it is filed under"),
    ("body = '[]'", "the task it is filed under"),
    ("body = ''", "the task it is filed under"),
    ("previous_hash = 'x' || substr(previous_hash, 2)", "does not follow"),
    ("event_hash = upper(event_hash) || 'x'", "its content"),
    ("task_id = 'another'", "the task it is filed under"),
    ("sequence = sequence + 100", "missing|out of order"),
    ("sequence = -sequence", "out of order"),
]


@pytest.fixture
async def story(tmp_path: Path) -> Path:
    return await told_story(tmp_path / "ledger.db")


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_any_change_of_any_record_names_it(story: Path, tmp_path: Path, change: str, what: str) -> None:
    for sequence in (1, 4, RECORDS):
        copy = Path(shutil.copy(story, tmp_path / "copy.db"))
        asked(copy, f"UPDATE audit_events SET {change} WHERE sequence = ?", sequence)  # noqa: S608 - a table of ours

        verdict = verify(copy)

        assert isinstance(verdict, ChainBroken)
        assert verdict.sequence == (1 if "-sequence" in change else sequence)
        assert re.search(what, verdict.what)


@pytest.mark.parametrize("sequence", range(1, RECORDS + 1))
def test_a_deleted_record_is_named(story: Path, sequence: int) -> None:
    asked(story, "DELETE FROM audit_events WHERE sequence = ?", sequence)

    verdict = verify(story)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == sequence


@pytest.mark.parametrize("left", range(RECORDS))
def test_a_truncated_trail_is_named(story: Path, left: int) -> None:
    asked(story, "DELETE FROM audit_events WHERE sequence > ?", left)

    assert verify(story) == ChainBroken(left + 1, "the record is missing: the chain was cut here")


def test_swapped_records_are_named(story: Path) -> None:
    for old, new in ((3, 1000), (6, 3), (1000, 6)):
        asked(story, "UPDATE audit_events SET sequence = ? WHERE sequence = ?", new, old)

    verdict = verify(story)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == 3


@pytest.mark.parametrize(("place", "named"), [(RECORDS + 1, RECORDS + 1), (0, 1), (-7, 1)])
def test_an_inserted_record_is_named(story: Path, place: int, named: int) -> None:
    asked(
        story,
        "INSERT INTO audit_events SELECT ?, time, kind, body, previous_hash, event_hash, task_id FROM audit_events"
        " WHERE sequence = 9",
        place,
    )

    verdict = verify(story)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == named


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_head SET sequence = 8",
        "UPDATE audit_head SET sequence = 10",
        "UPDATE audit_head SET hash = upper(hash) || 'x'",
        "UPDATE audit_head SET hash = x'00'",
        "UPDATE audit_head SET sequence = 'many'",
        "DELETE FROM audit_head",
    ],
)
def test_a_changed_head_is_found(story: Path, change: str) -> None:
    asked(story, change)

    assert isinstance(verify(story), ChainBroken)


@pytest.mark.parametrize("change", ["text = '{}'", "text = text || ' '", "digest = 'x' || digest", "text = x'00'"])
def test_a_changed_input_names_the_record_that_was_decided_on_it(story: Path, change: str) -> None:
    asked(story, f"UPDATE audit_inputs SET {change} WHERE text LIKE '%request-2%'")  # noqa: S608 - a table of ours

    verdict = verify(story)

    assert verdict == ChainBroken(6, "the input it was decided on is not what was recorded")


def test_an_erased_input_is_no_change(story: Path) -> None:
    asked(story, "DELETE FROM audit_inputs")

    assert isinstance(verify(story), ChainIntact)


@pytest.mark.parametrize("fraction", [0.0, 0.15, 0.4, 0.65, 0.9])
def test_a_damaged_file_is_never_called_intact_or_a_crash(story: Path, fraction: float) -> None:
    raw = bytearray(story.read_bytes())
    trail = raw.index(b'{"end_time"') // 4096 * 4096
    start = trail + int(fraction * 4096)
    honest = list(events(story))
    raw[start : start + 64] = bytes(64)
    story.write_bytes(raw)

    verdict = verify(story)

    match verdict:
        case ChainBroken():
            assert 1 <= verdict.sequence <= RECORDS + 1
        case ChainIntact():  # the bytes were not part of any record
            assert list(events(story)) == honest


# G10: no record, no answer


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[tuple[DatabaseLedger, Path, list[int]]]:
    """A ledger on a disk whose room a test decides: SQLite itself then says that it is full."""
    path, room = tmp_path / "ledger.db", [10_000]
    database = open_database(path)
    await database.write(migrate)
    assert database.writer is not None
    database.writer.dispose()
    event.listen(
        database.writer,
        "connect",
        lambda connection, _: connection.execute(f"PRAGMA max_page_count={room[0]}").close(),
    )
    commit = GroupCommit(database, FakeClock())
    commit.start()
    yield DatabaseLedger(database, commit), path, room
    await commit.close()
    await database.close()


async def test_a_full_disk_answers_nobody_and_recovers_without_a_restart(
    full: tuple[DatabaseLedger, Path, list[int]],
) -> None:
    ledger, path, room = full
    room[0] = 1  # SQLite takes the present size for it
    answered, outage = await _until_full(ledger)
    while_full = await asyncio.gather(
        *(ledger.authorize(opening(5000 + number)) for number in range(5)), return_exceptions=True
    )

    assert outage.reason is Reason.LEDGER_UNAVAILABLE
    assert "full" in str(outage.__cause__)
    assert all(isinstance(one, Outage) for one in while_full)
    assert asked(path, "SELECT count(*) FROM grants") == [(answered,)]
    assert kinds(path).count("grant_authorized") == answered

    room[0] = 10_000
    await ledger.authorize(opening(9999))

    assert isinstance(verify(path), ChainIntact)
    known = await ledger.remembered(COPILOT.actor_id, "request-9999")
    assert known is not None


async def _until_full(ledger: DatabaseLedger) -> tuple[int, Outage]:
    """Returns how many grants were authorized, and the failure of the one that was not."""
    for number in range(1, 2000):
        try:
            await ledger.authorize(opening(number))
        except Outage as outage:
            return number - 1, outage
    raise AssertionError("the disk is never full")


# G11: one record, whatever a string holds

INJECTIONS = [
    '\n{"forged":true}',
    '"}\r\n{"kind":"credentials_issued"}',
    "\x00\x01\x1b[2J\x7f",
    "'; DROP TABLE audit_events; --",
    "\u2028\u2029\u202e\ufeff",
    "%s %(x)s {0} ${jndi:ldap://x}",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_a_string_never_makes_more_than_its_one_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.db"
    who = Who(text, text, text, text, text)
    record = RequestRefused(who, text, text, text, text, text, text, text, text, ((text, text, text),))

    async with open_ledger(path, FakeClock()) as ledger:
        await ledger.record(record)
        await ledger.record(refused_record("the next"))

    bodies = [body for (body,) in asked(path, "SELECT body FROM audit_events ORDER BY sequence")]
    assert len(bodies) == 2
    assert all(body.isascii() and body.isprintable() and len(body) < 70_000 for body in bodies)
    kept = json.loads(bodies[0])["message"]
    assert kept[:4096] == text[:4096]
    assert isinstance(verify(path), ChainIntact)


async def test_half_a_surrogate_pair_is_kept_escaped_or_refused_as_a_whole(tmp_path: Path) -> None:
    path, half = tmp_path / "ledger.db", "\ud800"

    async with open_ledger(path, FakeClock()) as ledger:
        await ledger.record(refused_record(half))
        with pytest.raises(Outage) as raised:  # its task is also a column, which holds text only
            await ledger.record(RequestRefused(Who(), "", "", "", "", half))

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    (body,) = (body for (body,) in asked(path, "SELECT body FROM audit_events"))
    assert '"message":"\\ud800"' in body
    assert isinstance(verify(path), ChainIntact)


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_a_string_in_a_remembered_refusal_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    async with open_ledger(tmp_path / "ledger.db", FakeClock()) as ledger:
        await ledger.refuse(a_key("r", actor_id="a"), Denied(Reason.POLICY_DENIED, text), refused_record(text))

        known = await ledger.remembered("a", "r")

    assert known is not None
    assert known.refusal is not None
    assert known.refusal.message == text


# I1, I7: a process that dies


def test_a_killed_writer_leaves_a_whole_chain_with_everything_it_answered(tmp_path: Path) -> None:
    path, answered = tmp_path / "ledger.db", set[str]()
    for generation, lines in enumerate((1, 40, 150)):
        answered |= _killed_after(path, generation, lines)

        verdict = verify(path)

        assert isinstance(verdict, ChainIntact), verdict
        written = {name for (name,) in asked(path, "SELECT json_extract(body, '$.request_id') FROM audit_events")}
        assert answered <= written
        tied = {name for (name,) in asked(path, "SELECT request_id FROM requests")}
        assert {name for name in answered if name.startswith("request-")} <= tied


def _killed_after(path: Path, generation: int, lines: int) -> set[str]:
    """Starts a writer, kills it (SIGKILL) after so many answers, and returns every answer it gave."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "tests.ledger_writer", str(path), str(generation * 1_000_000 + 1)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        answers = [process.stdout.readline().strip() for _ in range(lines)]
        process.kill()
        *rest, _ = process.stdout.read().split("\n")  # the last line may be cut
    process.wait()
    assert all(answers)
    return {*answers, *rest}
