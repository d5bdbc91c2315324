"""What senders of events do wrong is counted within bounds, and no count is lost."""

import pytest
from tests.event_world import EventHandClock, MemoryOfEvents

from remit_server.application.security_events.counting import MAX_COUNTED, MAX_SENDERS, EventCounts, SenderBudget
from remit_server.domain.audit_events import SecurityEventsRefused
from remit_server.domain.errors import Outage, Reason


def entries(memory: MemoryOfEvents) -> list[tuple[str, str, str, int]]:
    return [
        (one.source, one.peer, one.reason, one.count)
        for one in memory.records
        if isinstance(one, SecurityEventsRefused)
    ]


async def test_past_their_bound_senders_share_one_entry_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    memory = MemoryOfEvents()
    counts = EventCounts(memory.record, EventHandClock())

    for number in range(MAX_COUNTED + 50):
        counts.count("ssf:acme", f"peer-{number}", "invalid_key", "why")
    await counts.write()

    assert len(memory.records) == MAX_COUNTED + 1
    assert ("others", "others", "invalid_key", 50) in entries(memory)
    assert len(caplog.records) == MAX_COUNTED


async def test_what_could_not_be_written_is_written_later_and_counted_on() -> None:
    memory, clock = MemoryOfEvents(), EventHandClock()
    counts = EventCounts(memory.record, clock)
    counts.count("ssf:acme", "peer", "invalid_key", "why")
    memory.is_down = True
    with pytest.raises(Outage):
        await counts.write()
    memory.is_down = False
    counts.count("ssf:acme", "peer", "invalid_key", "why")

    await counts.write()
    await counts.write()

    assert entries(memory) == [("ssf:acme", "peer", "invalid_key", 2)]


def test_a_senders_budget_fills_again_with_time_and_is_its_own() -> None:
    clock = EventHandClock()
    budget = SenderBudget(clock, per_minute=2)
    for _ in range(2):
        budget.spend("one")

    with pytest.raises(Outage) as spent:
        budget.spend("one")

    assert (spent.value.reason, spent.value.retry_after and spent.value.retry_after.total_seconds()) == (
        Reason.RATE_LIMITED,
        30,
    )
    budget.spend("other")
    clock.advance(seconds=30)
    budget.spend("one")


def test_so_many_senders_are_remembered_and_no_more() -> None:
    budget = SenderBudget(EventHandClock(), per_minute=1)

    for number in range(MAX_SENDERS + 10):
        budget.spend(f"peer-{number}")

    assert len(budget._left) == MAX_SENDERS
