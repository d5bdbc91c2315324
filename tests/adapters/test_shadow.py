"""A candidate in shadow: it decides after the answer and apart from it, on every process, and is only counted."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.databases import Place
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import DRAFT, REPORT, Recorded, edited, published, recording, some_history

from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.policies.shadow_counting import DatabaseShadowCounting
from remit_server.adapters.database.policies.shadows import DatabaseShadows
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.issuing.hearing import Hearing
from remit_server.application.policy.shadowing.shadowing import Shadowing
from remit_server.cli.policy.shadow import example_lines
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.policy_revision import Shadow

SQLITE_ONLY = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
ENDLESS = (
    "fails := count([1 | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a + b == 0])"
    ' if input.subject.id == "eve"'
)
YES = 'decision := {"allow": true, "entitlements": entitlements, "reasons": []} if count(reasons) == 0'
HANGING = {
    YES: YES.replace("} if count(reasons) == 0", "} if {\n\tcount(reasons) == 0\n\tnot fails == -1\n}")
    + f"\n\n{ENDLESS}\n"
}


@dataclass
class Shadowed:
    """A gateway beside which a candidate may decide."""

    gateway: Recorded
    shadows: DatabaseShadows
    shadowing: Shadowing

    async def starts(self, policies: Path) -> str:
        """Publishes a bundle and puts it into shadow; returns its digest once it decides here."""
        digest = await published(self.gateway, policies)
        await self.shadows.start(digest, by="olga")
        await eventually(lambda: asyncio.sleep(0, self.shadowing.decides_by == digest))
        return digest

    async def counted(self, digest: str, wanted: Mapping[str, int]) -> Shadow:
        """Returns what was counted, once it is as wanted."""

        async def is_so() -> bool:
            shown = await self.shadows.shown(digest)
            return shown is not None and counts_of(shown) == wanted

        await eventually(is_so, lambda: self.shadows.shown(digest))
        shown = await self.shadows.shown(digest)
        assert shown is not None
        return shown


def counts_of(shown: Shadow) -> dict[str, int]:
    return {one.difference: one.count for one in shown.counts}


async def eventually(is_so: Callable[[], Awaitable[bool]], seen: Callable[[], Awaitable[object]] | None = None) -> None:
    """Returns once it is so; fails, with what was seen, when it is not within a minute."""
    try:
        async with asyncio.timeout(60):
            while not await is_so():  # noqa: ASYNC110 - another process tells it through the database
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"it did not come to be so: {await seen() if seen else ''}")


def shadowing_on(gateway: Recorded, *, most_waiting: int = 512) -> Shadowing:
    store = gateway.world.ledger.store
    return Shadowing(
        DatabaseShadowCounting(store),
        DatabaseRevisions(store),
        OpenTeam(1, is_nice=True),
        gateway.kept,
        looks_every=timedelta(seconds=0.1),
        most_waiting=most_waiting,
    )


@asynccontextmanager
async def shadowed(place: Place, **more: int) -> AsyncIterator[Shadowed]:
    """Runs a gateway with a shadow of its own."""
    async with recording(place) as gateway:
        shadowing = shadowing_on(gateway, **more)
        observed: Hearing = replace(gateway.world.issue.hearing, observe=shadowing)
        gateway.world.issue = replace(gateway.world.issue, hearing=observed)
        gateway.world.renew = replace(gateway.world.renew, hearing=observed)
        gateway.world.preview = replace(gateway.world.preview, hearing=observed)
        async with shadowing.running():
            yield Shadowed(gateway, DatabaseShadows(gateway.world.ledger.store), shadowing)


@pytest.fixture
async def world(place: Place) -> AsyncIterator[Shadowed]:
    async with shadowed(place) as made:
        yield made


def for_guests(folder: Path) -> Path:
    return edited(folder, catalogue=lambda tree: tree["by_group"].update(guests=["reports-reader"]))


async def test_the_active_revision_in_shadow_answers_everything_the_same(world: Shadowed) -> None:
    digest = await world.starts(DEFAULT_POLICIES)

    await some_history(world.gateway)

    shown = await world.counted(digest, {"SAME": 13})
    assert {one.active for one in shown.counts} == {digest}


async def test_differences_are_counted_and_answers_untouched(world: Shadowed, tmp_path: Path) -> None:
    digest = await world.starts(for_guests(tmp_path / "candidate"))

    refused = await world.gateway.asks(REPORT, user="zoe")
    await world.gateway.asks(REPORT, user="zoe")
    await world.gateway.issued(REPORT)

    shown = await world.counted(digest, {"NEWLY_ALLOWED": 2, "REACH_WIDER": 2, "SAME": 1})
    assert isinstance(refused, Denied)
    (example,) = [json.loads(one.example) for one in shown.counts if one.difference == "NEWLY_ALLOWED"]
    assert example["subject_id"] == "zoe"
    assert "+ s3:GetObject on arn:aws:s3:::reports/2026/q3/summary.csv" in example["shown"]
    assert "s3:GetObject on arn:aws:s3:::reports/2026/*" in example["gained"]


async def test_two_gateways_count_into_one(world: Shadowed, tmp_path: Path) -> None:
    digest = await world.starts(for_guests(tmp_path / "candidate"))
    async with shadowed_beside(world) as other:
        await eventually(lambda: asyncio.sleep(0, other.decides_by == digest))
        hearing = replace(world.gateway.world.issue.hearing, observe=other)
        there = replace(world.gateway.world.issue, hearing=hearing)
        here = world.gateway.world.issue

        for issue in (here, there, there):
            world.gateway.world.issue = issue
            await world.gateway.asks(REPORT, user="zoe")

        await world.counted(digest, {"NEWLY_ALLOWED": 3, "REACH_WIDER": 3})


@asynccontextmanager
async def shadowed_beside(world: Shadowed) -> AsyncIterator[Shadowing]:
    """Runs the shadow of a second gateway on the same database."""
    async with open_ledger(world.gateway.place, world.gateway.world.clock) as ledger:
        shadowing = Shadowing(
            DatabaseShadowCounting(ledger.store),
            DatabaseRevisions(ledger.store),
            world.shadowing.open_replays,
            world.shadowing.ceilings,
            looks_every=world.shadowing.looks_every,
        )
        async with shadowing.running():
            yield shadowing


@SQLITE_ONLY
async def test_a_candidate_that_hangs_fails_and_no_answer_waits_for_it(world: Shadowed, tmp_path: Path) -> None:
    digest = await world.starts(edited(tmp_path / "candidate", rego=HANGING))

    await world.gateway.issued(DRAFT, user="eve")
    await world.gateway.issued(REPORT)
    before = await world.shadows.shown(digest)

    assert before is None or not before.counts  # both are answered while the candidate still thinks
    await world.counted(digest, {"FAILED": 1, "SAME": 1})


@SQLITE_ONLY
async def test_what_finds_no_room_is_dropped_and_counted(place: Place, tmp_path: Path) -> None:
    async with shadowed(place, most_waiting=2) as world:
        digest = await world.starts(edited(tmp_path / "candidate", rego=HANGING))
        await world.gateway.issued(DRAFT, user="eve")
        await eventually(lambda: asyncio.sleep(0, world.shadowing.waits == 0))  # the candidate has it, and hangs

        for _ in range(5):
            await world.gateway.issued(REPORT)

        await world.counted(digest, {"FAILED": 1, "SAME": 2, "DROPPED": 3})


@SQLITE_ONLY
async def test_a_shadow_ends_when_it_is_stopped_and_what_was_counted_stays(world: Shadowed, tmp_path: Path) -> None:
    digest = await world.starts(for_guests(tmp_path / "candidate"))
    await world.gateway.asks(REPORT, user="zoe")
    await world.counted(digest, {"NEWLY_ALLOWED": 1, "REACH_WIDER": 1})

    await world.shadows.stop(by="olga")
    await eventually(lambda: asyncio.sleep(0, not world.shadowing.decides_by))
    await world.gateway.asks(REPORT, user="zoe")

    shown = await world.shadows.shown(digest)
    assert shown is not None
    assert (shown.start_time, counts_of(shown)) == (None, {"NEWLY_ALLOWED": 1, "REACH_WIDER": 1})
    assert await world.shadows.shown(None) == shown


def test_an_example_is_told_line_by_line_and_cannot_steer_a_terminal() -> None:
    example = {
        "subject_id": "zoe",
        "actor_id": "agent",
        "purpose": "summarise\x1b[2J",
        "gained": ["s3:GetObject on arn:aws:s3:::reports/2026/*"],
        "input_digest": "d1",
    }

    told = list(example_lines(json.dumps(example)))

    assert told[0] == "zoe through agent"
    assert told[2:] == ["+ s3:GetObject on arn:aws:s3:::reports/2026/*", "remit-server audit explain d1"]
    assert all(line.isprintable() for line in told)


@SQLITE_ONLY
async def test_a_stop_of_the_gateway_writes_what_was_counted(place: Place, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(shadowed(place))
        digest = await world.starts(for_guests(tmp_path / "candidate"))
        world.shadowing.looks_every = timedelta(hours=1)
        await asyncio.sleep(0.5)  # the look that is under way is the last one
        await world.gateway.asks(REPORT, user="zoe")
        await eventually(lambda: asyncio.sleep(0, world.shadowing.waits == 0))

    async with recording(place) as again:
        shown = await DatabaseShadows(again.world.ledger.store).shown(digest)

    assert shown is not None
    assert sum(counts_of(shown).values()) >= 1


@SQLITE_ONLY
async def test_a_candidate_that_may_not_decide_leaves_the_gateway_as_it_is(world: Shadowed, tmp_path: Path) -> None:
    broken = edited(tmp_path / "broken", rego={"count(reasons) == 0": "time.now_ns() > count(reasons)"})
    digest = await published(world.gateway, broken)

    await world.shadows.start(digest, by="olga")
    await asyncio.sleep(0.5)
    issued = await world.gateway.issued(REPORT)

    assert issued.grant.state.value == "ISSUED"
    assert world.shadowing.decides_by == ""


@SQLITE_ONLY
async def test_what_was_no_decision_is_not_handed_to_the_candidate(world: Shadowed) -> None:
    digest = await world.starts(DEFAULT_POLICIES)
    world.gateway.world.sts.failure = Outage(Reason.STS_UNAVAILABLE, "STS is away")

    await world.gateway.asks(REPORT)
    world.gateway.world.sts.failure = None
    await world.gateway.world.preview(world.gateway.world.ask(REPORT, user="ann"))
    await world.gateway.issued(REPORT)

    await world.counted(digest, {"SAME": 1})
