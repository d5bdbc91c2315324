"""What one process does, the others hear of: in order, once, and soon; what may have been missed is said."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.databases import Place, asked, empty
from tests.fakes import NOON, FakeClock
from tests.ledger_values import COPILOT, an_issuance, grant_id, issued_record, opening, refused_record, task_id
from tests.real_postgresql import PostgresqlServer

from remit_server.adapters.database.following.bells import bell_of
from remit_server.adapters.database.following.follower import (
    MOST_WAITING,
    FellBehind,
    Follower,
    Subscription,
    running_follower,
)
from remit_server.adapters.database.following.server_bell import ServerBell
from remit_server.adapters.database.following.signals import AT_ONCE, DatabaseSignals
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.domain.errors import Denied

PATIENCE = 30.0
SENT = "INSERT INTO signals (sequence, kind, task_id, time) VALUES (?, ?, ?, '2026-11-23T12:00:00.000000+00:00')"


@pytest.fixture
async def one(place: Place) -> AsyncIterator[DatabaseLedger]:
    """The ledger of a process that writes."""
    async with open_ledger(place, FakeClock()) as opened:
        yield opened


@pytest.fixture
async def other(one: DatabaseLedger, place: Place) -> AsyncIterator[Follower]:
    """What another process follows."""
    del one
    async with open_ledger(place, FakeClock()) as opened, running_follower(opened.store, place) as follower:
        yield follower


async def heard(subscription: Subscription, count: int) -> list[tuple[str, str]]:
    """Returns kind and task of the next so many signals."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE):
        async for batch in subscription:
            found += [(signal.kind, signal.task_id) for signal in batch]
            if len(found) >= count:
                return found
    raise AssertionError


def rows_of(tasks: Iterable[str], first: int) -> str:
    """Returns signals about these tasks, numbered from the first, as SQL."""
    time = "2026-11-23T12:00:00.000000+00:00"
    return ", ".join(f"({number}, 'task_ended', '{task}', '{time}')" for number, task in enumerate(tasks, first))


async def write_story(ledger: DatabaseLedger, *numbers: int) -> None:
    for number in numbers:
        await ledger.authorize(opening(number))
        await ledger.issue(grant_id(number), an_issuance(number), issued_record(number))
        await ledger.record(refused_record())  # which nobody else must hear of
        await ledger.end_task(task_id(number), COPILOT, NOON)


async def test_what_one_process_writes_another_hears_of_in_its_order(one: DatabaseLedger, other: Follower) -> None:
    with other.following() as everything:
        await write_story(one, 1, 2)

        found = await heard(everything, 4)

    assert found == [(kind, task_id(number)) for number in (1, 2) for kind in ("credentials_issued", "task_ended")]


async def test_who_follows_a_task_hears_of_it_alone(one: DatabaseLedger, other: Follower) -> None:
    with other.following(task_id(2)) as second:
        await write_story(one, 1, 2)

        found = await heard(second, 2)

    assert found == [("credentials_issued", task_id(2)), ("task_ended", task_id(2))]


async def test_what_is_about_more_than_one_task_everybody_hears_of(place: Place, other: Follower) -> None:
    with other.following(task_id(1)) as first, other.following(task_id(2)) as second:
        asked(place, SENT, 1, "policy_activated", "")

        found = await heard(first, 1) + await heard(second, 1)

    assert found == [("policy_activated", "")] * 2


async def test_what_was_before_is_not_told(one: DatabaseLedger, place: Place) -> None:
    await write_story(one, 1)

    async with running_follower(one.store, place) as follower:
        with follower.following() as everything:
            await write_story(one, 2)
            found = await heard(everything, 2)

    assert {task for _, task in found} == {task_id(2)}


async def test_a_notification_that_was_lost_is_made_up_for(place: Place, other: Follower) -> None:
    """A row that nobody was notified of is found all the same, later."""
    with other.following() as everything:
        asked(place, SENT, 1, "task_ended", task_id(1))

        assert await heard(everything, 1) == [("task_ended", task_id(1))]


async def test_more_than_one_page_comes_whole_and_once(place: Place, one: DatabaseLedger) -> None:
    signals = DatabaseSignals(one.store)
    follower = Follower(signals, bell_of(place))
    rows = ", ".join(
        f"({number}, 'task_ended', 't{number}', '2026-11-23T12:00:00.000000+00:00')"
        for number in range(1, AT_ONCE + 11)
    )
    asked(place, f"INSERT INTO signals (sequence, kind, task_id, time) VALUES {rows}")  # noqa: S608 - numbers
    running = asyncio.create_task(follower.run())

    with follower.following(f"t{AT_ONCE + 10}") as last:
        found = await heard(last, 1)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert found == [("task_ended", f"t{AT_ONCE + 10}")]
    assert await signals.latest() == AT_ONCE + 10


async def test_who_does_not_take_signals_is_told_to_look_instead_and_holds_a_bounded_number(
    place: Place, other: Follower
) -> None:
    with other.following() as everything, other.following(task_id(1)) as first:
        for start in range(1, MOST_WAITING + 3, MOST_WAITING // 2):
            rows = rows_of(["x"] * (MOST_WAITING // 2), start)
            asked(place, f"INSERT INTO signals (sequence, kind, task_id, time) VALUES {rows}")  # noqa: S608 - numbers
        asked(place, SENT, 10_000, "task_ended", task_id(1))
        await heard(first, 1)  # and so all of them were told

        with pytest.raises(FellBehind):
            await heard(everything, 10_000)


async def test_signals_are_forgotten_after_an_hour_and_no_record_with_them(place: Place, one: DatabaseLedger) -> None:
    await write_story(one, 1)
    (last,) = asked(place, "SELECT max(sequence) FROM signals")[0]
    later = NOON + timedelta(hours=1)

    await one.sweep(later - timedelta(seconds=1))
    before = asked(place, "SELECT count(*) FROM signals WHERE sequence <= ?", last)
    await one.sweep(later)

    assert before == [(2,)]
    assert asked(place, "SELECT count(*) FROM signals WHERE sequence <= ?", last) == [(0,)]
    assert asked(place, "SELECT count(*) FROM audit_events WHERE sequence <= ?", last) == [(last,)]


class Rung:
    """A bell that rings when a test says so: what is tested is what is done then."""

    def __init__(self) -> None:
        self.ring = asyncio.Event()

    async def rings(self) -> None:
        await self.ring.wait()
        self.ring.clear()

    async def close(self) -> None:
        """Has nothing."""


async def test_a_follower_that_could_not_read_for_as_long_as_signals_are_kept_says_so(
    place: Place, one: DatabaseLedger
) -> None:
    clock, bell = FakeClock(), Rung()
    follower = Follower(DatabaseSignals(one.store), bell, monotonic=clock.monotonic)
    await follower.start()
    running = asyncio.create_task(follower.run())
    with follower.following(task_id(1)) as first:
        asked(place, SENT, 1, "task_ended", task_id(1))
        bell.ring.set()
        assert await heard(first, 1) == [("task_ended", task_id(1))]
        clock.advance(hours=1)
        bell.ring.set()

        with pytest.raises(FellBehind):
            await heard(first, 1)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# PostgreSQL's notifications


@pytest.fixture
def url(postgresql: PostgresqlServer, kept_database: str) -> Iterator[str]:
    yield postgresql.url(kept_database)
    empty(postgresql, kept_database)


@asynccontextmanager
async def following_by_notification_alone(ledger: DatabaseLedger, url: str) -> AsyncIterator[Follower]:
    """Follows without looking by itself for an hour."""
    bell = ServerBell(url, None, ring_every=3600.0)
    follower = Follower(DatabaseSignals(ledger.store), bell)
    await follower.start()
    running = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bell.close()


LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN remit_signals' AND datname = current_database()"


async def until_it_listens(url: str, but: int = 0) -> int:
    """Returns the process id of the session that listens, other than an earlier one."""
    async with asyncio.timeout(PATIENCE):
        while not (found := [pid for (pid,) in asked(url, LISTENERS) if pid != but]):  # noqa: ASYNC110 - the server's
            await asyncio.sleep(0.02)
    return int(found[0])


async def test_a_commit_is_told_by_its_notification(url: str) -> None:
    async with open_ledger(url, FakeClock()) as ledger, following_by_notification_alone(ledger, url) as follower:
        await until_it_listens(url)
        with follower.following() as everything:
            await write_story(ledger, 1)

            found = await heard(everything, 2)

    assert [kind for kind, _ in found] == ["credentials_issued", "task_ended"]


async def test_a_listener_that_was_lost_listens_again_and_misses_nothing(url: str) -> None:
    async with open_ledger(url, FakeClock()) as ledger, following_by_notification_alone(ledger, url) as follower:
        lost = await until_it_listens(url)
        with follower.following() as everything:
            asked(url, "SELECT pg_terminate_backend(?)", lost)
            await write_story(ledger, 1)
            found = await heard(everything, 2)
            await until_it_listens(url, but=lost)
            await write_story(ledger, 2)
            found += await heard(everything, 2)

    assert [task for _, task in found] == [task_id(number) for number in (1, 1, 2, 2)]


async def test_what_was_rolled_back_is_told_to_nobody(url: str) -> None:
    async with open_ledger(url, FakeClock()) as ledger, following_by_notification_alone(ledger, url) as follower:
        await until_it_listens(url)
        with follower.following() as everything:
            with pytest.raises(Denied):
                await ledger.issue(grant_id(1), an_issuance(), issued_record())
            await write_story(ledger, 2)

            found = await heard(everything, 2)

    assert {task for _, task in found} == {task_id(2)}
