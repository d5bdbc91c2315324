"""What one process does, the others hear of: in order, once, and soon; what may have been missed is said."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest
from tests.databases import Place, asked, empty
from tests.fakes import NOON, FakeClock
from tests.ledger_values import COPILOT, an_issuance, grant_id, issued_record, opening, refused_record, task_id
from tests.real_postgresql import PostgresqlServer

from remit_server.adapters.database.following.follower import Following, following
from remit_server.adapters.database.following.server_bell import RING_EVERY, ServerBell
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.trail.signal_log import AT_ONCE, DatabaseSignals
from remit_server.application.lifecycle.ports import Signal
from remit_server.domain.errors import Denied, Outage

PATIENCE = 30.0
TIME = "2026-11-23T12:00:00.000000+00:00"
SENT = f"INSERT INTO signals (sequence, kind, task_id, time) VALUES (?, ?, ?, '{TIME}')"  # noqa: S608 - a time
Signals = AsyncGenerator[Sequence[Signal], None]


class Rung:
    """A bell that rings when a test says so: what is tested is what is done then."""

    def __init__(self) -> None:
        self.ring = asyncio.Event()
        self.is_listened_to = asyncio.Event()

    async def rings(self) -> None:
        self.is_listened_to.set()
        await self.ring.wait()
        self.ring.clear()

    async def close(self) -> None:
        """Has nothing."""


@pytest.fixture
async def one(place: Place) -> AsyncIterator[DatabaseLedger]:
    """The ledger of a process that writes."""
    async with open_ledger(place, FakeClock()) as opened:
        yield opened


@pytest.fixture
async def signals(one: DatabaseLedger, place: Place) -> AsyncIterator[Signals]:
    """What another process follows, from now on."""
    async with (
        open_ledger(place, FakeClock()) as other,
        following(other.store, place) as follow,
        aclosing(follow()) as found,
    ):
        await begun(one, found)
        yield found


async def begun(ledger: DatabaseLedger, found: Signals) -> None:
    """Returns once the first turn has begun: what happens from then on is not missed."""
    first = asyncio.ensure_future(anext(found))
    number = 900
    async with asyncio.timeout(PATIENCE):
        while not first.done():
            number += 1
            await write_story(ledger, number)
            await asyncio.wait((first,), timeout=0.1)
        await heard_until(found, number, first.result())


async def heard_until(found: Signals, number: int, batch: Sequence[Signal] = ()) -> None:
    """Returns once the end of this task was heard of."""
    while all((signal.kind, signal.task_id) != ("task_ended", task_id(number)) for signal in batch):
        batch = await anext(found)


async def heard(found: Signals, count: int) -> list[tuple[str, str]]:
    """Returns kind and task of the next so many signals."""
    told: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE):
        while len(told) < count:
            told += [(signal.kind, signal.task_id) for signal in await anext(found)]
    return told


async def write_story(ledger: DatabaseLedger, *numbers: int) -> None:
    for number in numbers:
        await ledger.authorize(opening(number))
        await ledger.issue(grant_id(number), an_issuance(number), issued_record(number))
        await ledger.record(refused_record())  # which nobody else must hear of
        await ledger.end_task(task_id(number), COPILOT, NOON)


def story_of(*numbers: int) -> list[tuple[str, str]]:
    return [(kind, task_id(number)) for number in numbers for kind in ("credentials_issued", "task_ended")]


async def test_what_one_process_writes_another_hears_of_in_its_order(one: DatabaseLedger, signals: Signals) -> None:
    await write_story(one, 1, 2)

    assert await heard(signals, 4) == story_of(1, 2)


async def test_what_was_before_is_not_told(one: DatabaseLedger) -> None:
    await write_story(one, 1)

    bell = Rung()
    async with aclosing(Following(DatabaseSignals(one.store), bell)()) as found:
        first = asyncio.ensure_future(anext(found))
        await bell.is_listened_to.wait()
        await write_story(one, 2)
        bell.ring.set()
        batch = await first

    assert {signal.task_id for signal in batch} == {task_id(2)}


async def test_a_notification_that_was_lost_is_made_up_for(place: Place, signals: Signals) -> None:
    """A row that nobody was notified of is found all the same, later."""
    asked(place, SENT, 1_000_000, "task_ended", task_id(1))

    assert await heard(signals, 1) == [("task_ended", task_id(1))]


async def test_more_than_one_page_comes_whole_and_once(place: Place, signals: Signals) -> None:
    numbers = range(1_000_000, 1_000_000 + AT_ONCE + 10)
    rows = ", ".join(f"({number}, 'task_ended', 't{number}', '{TIME}')" for number in numbers)
    asked(place, f"INSERT INTO signals (sequence, kind, task_id, time) VALUES {rows}")  # noqa: S608 - numbers

    found = await heard(signals, AT_ONCE + 10)

    assert [task for _, task in found] == [f"t{number}" for number in numbers]


async def test_a_follower_that_could_not_read_for_as_long_as_signals_are_kept_says_so(
    place: Place, one: DatabaseLedger
) -> None:
    clock, bell = FakeClock(), Rung()
    async with aclosing(Following(DatabaseSignals(one.store), bell, clock.monotonic)()) as found:
        first = asyncio.ensure_future(anext(found))
        await bell.is_listened_to.wait()
        asked(place, SENT, 1, "task_ended", task_id(1))
        bell.ring.set()
        await first
        clock.advance(hours=1)
        bell.ring.set()

        with pytest.raises(Outage, match="look at what is so now"):
            await anext(found)


# PostgreSQL's notifications


@pytest.fixture
def url(postgresql: PostgresqlServer, kept_database: str) -> Iterator[str]:
    yield postgresql.url(kept_database)
    empty(postgresql, kept_database)


@asynccontextmanager
async def by_notification_alone(ledger: DatabaseLedger, url: str) -> AsyncIterator[Signals]:
    """Follows without looking by itself for an hour."""
    bell = ServerBell(url, None, ring_every=3600.0)
    async with aclosing(Following(DatabaseSignals(ledger.store), bell)()) as found:
        first = asyncio.ensure_future(anext(found))
        await until_it_listens(url)
        await write_story(ledger, 900)
        await heard_until(found, 900, await first)
        yield found
    await bell.close()


LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN remit_signals' AND datname = current_database()"


async def until_it_listens(url: str, but: int = 0) -> int:
    """Returns the process id of the session that listens, other than an earlier one."""
    async with asyncio.timeout(PATIENCE):
        while not (found := [pid for (pid,) in asked(url, LISTENERS) if pid != but]):  # noqa: ASYNC110 - the server's
            await asyncio.sleep(0.02)
    return int(found[0])


async def test_a_commit_is_told_by_its_notification(url: str) -> None:
    async with open_ledger(url, FakeClock()) as ledger, by_notification_alone(ledger, url) as found:
        await write_story(ledger, 1)

        told = await heard(found, 2)

    assert told == story_of(1)
    assert RING_EVERY <= 2


async def test_a_listener_that_was_lost_listens_again_and_misses_nothing(url: str) -> None:
    async with open_ledger(url, FakeClock()) as ledger, by_notification_alone(ledger, url) as found:
        lost = await until_it_listens(url)
        asked(url, "SELECT pg_terminate_backend(?)", lost)
        await write_story(ledger, 1)
        told = await heard(found, 2)
        waiting = asyncio.ensure_future(heard(found, 2))
        await until_it_listens(url, but=lost)
        await write_story(ledger, 2)
        told += await waiting

    assert told == story_of(1, 2)


async def test_what_was_not_done_is_told_to_nobody(url: str) -> None:
    async with open_ledger(url, FakeClock()) as ledger, by_notification_alone(ledger, url) as found:
        with pytest.raises(Denied):
            await ledger.issue(grant_id(1), an_issuance(), issued_record())
        await write_story(ledger, 2)

        assert await heard(found, 2) == story_of(2)
