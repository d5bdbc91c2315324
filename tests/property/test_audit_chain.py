"""The law of the audit chain: whatever is done to it is found, and the first bad record is named."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit_server.domain.audit import (
    GENESIS,
    AuditRecord,
    CallersRejected,
    ChainBroken,
    ChainedEvent,
    ChainIntact,
    GrantExpired,
    RequestRefused,
    Who,
    chained,
    verify_chain,
)

# Time is no part of these laws: the machine that runs them may be busy.
law = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
texts = st.text(max_size=20)
times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
records: st.SearchStrategy[AuditRecord] = st.one_of(
    st.builds(GrantExpired, texts, texts, times),
    st.builds(CallersRejected, texts, texts, st.integers(0, 10**6), times),
    st.builds(
        RequestRefused,
        who=st.builds(Who, texts, texts, texts),
        request_id=texts,
        method=texts,
        reason=texts,
        message=texts,
        failures=st.lists(st.tuples(texts, texts, texts), max_size=2).map(tuple),
    ),
)


def chain_of(contents: list[AuditRecord]) -> list[ChainedEvent]:
    events: list[ChainedEvent] = []
    head = GENESIS
    for sequence, record in enumerate(contents, start=1):
        events.append(chained(record, sequence=sequence, time=NOON + timedelta(seconds=sequence), previous_hash=head))
        head = events[-1].event_hash
    return events


def verified(events: list[ChainedEvent], honest: list[ChainedEvent]) -> ChainIntact | ChainBroken:
    """Verifies as `audit verify` does: up to the head that was recorded when the chain was honest."""
    return verify_chain(events, expected_count=len(honest), expected_head=head_of(honest), complete=True)


def head_of(events: list[ChainedEvent]) -> str:
    return events[-1].event_hash if events else GENESIS


chains = st.lists(records, min_size=1, max_size=6).map(chain_of)
NAMES = [field.name for field in fields(ChainedEvent)]


@st.composite
def changed(draw: st.DrawFn) -> tuple[list[ChainedEvent], int, ChainedEvent]:
    """A chain, a place in it, and an event that differs in one field from the one that stands there."""
    chain = draw(chains)
    index = draw(st.integers(0, len(chain) - 1))
    event, name = chain[index], draw(st.sampled_from(NAMES))
    old = getattr(event, name)
    return chain, index, replace(event, **{name: draw(another(old))})


def another(old: Any) -> st.SearchStrategy[Any]:
    match old:
        case int():
            values: st.SearchStrategy[Any] = st.integers(-5, 20)
        case datetime():
            values = times | st.integers(-5, 5).map(lambda delta: old + timedelta(microseconds=delta))
        case str():
            values = texts | flipped(old) if old else texts
        case _:
            raise AssertionError(old)
    return values.filter(lambda value: value != old)


def flipped(old: str) -> st.SearchStrategy[str]:
    """The text with one character changed, doubled or left out."""
    places = st.integers(0, len(old) - 1)
    return st.builds(lambda place, new: old[:place] + new + old[place + 1 :], places, st.text(max_size=2))


@law
@given(chains)
def test_an_honest_chain_is_intact(chain: list[ChainedEvent]) -> None:
    assert verified(chain, chain) == ChainIntact(len(chain), head_of(chain))


@law
@given(changed())
def test_a_changed_field_is_found_and_its_record_named(change: tuple[list[ChainedEvent], int, ChainedEvent]) -> None:
    chain, index, other = change

    verdict = verified([*chain[:index], other, *chain[index + 1 :]], chain)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == index + 1


@law
@given(chains, st.data())
def test_a_missing_record_is_found_and_its_place_named(chain: list[ChainedEvent], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(chain) - 1))

    verdict = verified([*chain[:index], *chain[index + 1 :]], chain)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == index + 1


@law
@given(st.lists(records, min_size=2, max_size=6).map(chain_of), st.data())
def test_swapped_records_are_found_and_the_first_named(chain: list[ChainedEvent], data: st.DataObject) -> None:
    first, second = sorted(data.draw(st.lists(st.integers(0, len(chain) - 1), min_size=2, max_size=2, unique=True)))
    swapped = list(chain)
    swapped[first], swapped[second] = chain[second], chain[first]

    verdict = verified(swapped, chain)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == first + 1


@law
@given(chains, st.data())
def test_a_cut_chain_is_found_and_the_cut_named(chain: list[ChainedEvent], data: st.DataObject) -> None:
    left = data.draw(st.integers(0, len(chain) - 1))

    verdict = verified(chain[:left], chain)

    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == left + 1


@law
@given(chains, records, st.data())
def test_an_inserted_record_is_found_and_its_place_named(
    chain: list[ChainedEvent], record: AuditRecord, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(chain)))
    forged = chained(record, sequence=index + 1, time=NOON, previous_hash=head_of(chain[:index]))

    verdict = verified([*chain[:index], forged, *chain[index:]], chain)

    assert isinstance(verdict, ChainBroken)
    # What is forged may be right in itself: then the record that it pushed away is the first that is not.
    assert verdict.sequence in {index + 1, index + 2}


@law
@given(chains, records, st.data())
def test_a_recomputed_tail_is_found_by_a_head_kept_elsewhere(
    chain: list[ChainedEvent], record: AuditRecord, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(chain) - 1))
    forged, head = list(chain[:index]), head_of(chain[:index])
    for sequence in range(index + 1, len(chain) + 1):
        forged.append(chained(record, sequence=sequence, time=NOON, previous_hash=head))
        head = forged[-1].event_hash

    assert isinstance(verify_chain(forged), ChainIntact)  # short of recomputing the tail: this is what that means
    verdict = verified(forged, chain)
    assert isinstance(verdict, ChainBroken)
    assert verdict.sequence == len(chain)


@law
@given(chains, records, st.integers(0, 6))
def test_a_checkpoint_of_the_past_holds_while_the_chain_grows(
    chain: list[ChainedEvent], record: AuditRecord, more: int
) -> None:
    grown = list(chain)
    for _ in range(more):
        grown.append(chained(record, sequence=len(grown) + 1, time=NOON, previous_hash=head_of(grown)))

    verdict = verify_chain(grown, expected_count=len(chain), expected_head=head_of(chain))

    assert verdict == ChainIntact(len(grown), head_of(grown))


@law
@given(records, st.integers(-12, 14).filter(bool))
def test_a_record_has_no_other_time_than_utc(record: AuditRecord, hours: int) -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=hours)))

    with pytest.raises(ValueError, match="UTC"):
        chained(record, sequence=1, time=elsewhere, previous_hash=GENESIS)
