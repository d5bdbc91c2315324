"""G9: whoever changes, cuts, swaps or adds to the audit trail is found out, and the record is named."""

import re
import shutil
from pathlib import Path

import pytest
from tests.ledger_values import asked, told_story

from remit_server.adapters.database.trail.audit_log import events, verify
from remit_server.domain.audit import ChainBroken, ChainIntact

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
def test_g9_any_change_of_any_record_names_it(story: Path, tmp_path: Path, change: str, what: str) -> None:
    for sequence in (1, 4, RECORDS):
        copy = Path(shutil.copy(story, tmp_path / "copy.db"))
        asked(copy, f"UPDATE audit_events SET {change} WHERE sequence = ?", sequence)  # noqa: S608 - a table of ours

        verdict = verify(copy)

        assert isinstance(verdict, ChainBroken)
        assert verdict.sequence == (1 if "-sequence" in change else sequence)
        assert re.search(what, verdict.what)


@pytest.mark.parametrize("sequence", range(1, RECORDS + 1))
def test_g9_a_deleted_record_is_named(story: Path, sequence: int) -> None:
    asked(story, "DELETE FROM audit_events WHERE sequence = ?", sequence)

    verdict = verify(story)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == sequence


@pytest.mark.parametrize("left", range(RECORDS))
def test_g9_a_truncated_trail_is_named(story: Path, left: int) -> None:
    asked(story, "DELETE FROM audit_events WHERE sequence > ?", left)

    assert verify(story) == ChainBroken(left + 1, "the record is missing: the chain was cut here")


def test_g9_swapped_records_are_named(story: Path) -> None:
    for old, new in ((3, 1000), (6, 3), (1000, 6)):
        asked(story, "UPDATE audit_events SET sequence = ? WHERE sequence = ?", new, old)

    verdict = verify(story)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == 3


@pytest.mark.parametrize(("place", "named"), [(RECORDS + 1, RECORDS + 1), (0, 1), (-7, 1)])
def test_g9_an_inserted_record_is_named(story: Path, place: int, named: int) -> None:
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
def test_g9_a_changed_head_is_found(story: Path, change: str) -> None:
    asked(story, change)

    assert isinstance(verify(story), ChainBroken)


@pytest.mark.parametrize("change", ["text = '{}'", "text = text || ' '", "digest = 'x' || digest", "text = x'00'"])
def test_g9_a_changed_input_names_the_record_that_was_decided_on_it(story: Path, change: str) -> None:
    asked(story, f"UPDATE audit_texts SET {change} WHERE text LIKE '%request-2%'")  # noqa: S608 - a table of ours

    verdict = verify(story)

    assert verdict == ChainBroken(6, "the input it was decided on is not what was recorded")


def test_g9_an_erased_input_is_no_change(story: Path) -> None:
    asked(story, "DELETE FROM audit_texts")

    assert isinstance(verify(story), ChainIntact)


@pytest.mark.parametrize("fraction", [0.0, 0.15, 0.4, 0.65, 0.9])
def test_g9_a_damaged_file_is_never_called_intact_or_a_crash(story: Path, fraction: float) -> None:
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
