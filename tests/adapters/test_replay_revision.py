"""Replaying a published revision in a gateway: found by its digits, one replay at a time, ended when nobody listens."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import person
from tests.databases import Place
from tests.replay_world import Recorded, edited, known_archive, published, recording, some_history

from remit_server.adapters.database.engine import open_for_reading
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import OwnReader
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.oversight.authorizing import Check
from remit_server.application.policy.replaying.replay_revision import ReplayRequest, ReplayRevision
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.running import Progress
from remit_server.domain.administration import EVERYTHING
from remit_server.domain.errors import Denied, Outage, Reason

Replay = Callable[[str], AsyncGenerator[Progress | Report, None]]


@pytest.fixture
async def gateway(place: Place) -> AsyncIterator[Recorded]:
    async with recording(place) as made:
        await some_history(made)
        yield made


@pytest.fixture
async def replay(gateway: Recorded) -> AsyncIterator[Replay]:
    """Replays on the revision of these digits, for an operator who may."""

    async def anybody(*_: object, check: Check, **__: object) -> None:
        await check(EVERYTHING)

    database = open_for_reading(gateway.place)
    authorize: Any = anybody  # who may is for tests of operators to say
    replay = ReplayRevision(
        authorize,
        DatabaseRevisions(gateway.world.ledger.store),
        DatabaseHistory(OwnReader(database)),
        OpenTeam(1, is_nice=True),
        gateway.world.clock,
    )
    olga = person("olga", "security")
    yield lambda digits: replay(ReplayRequest(olga, digits, timedelta(days=1), 1_000))
    await database.close()


async def candidate(gateway: Recorded, folder: Path) -> str:
    """Publishes a revision by which strangers may read reports, and returns its digest."""
    policies = edited(folder, catalogue=lambda tree: tree["by_group"].update(guests=["reports-reader"]))
    return await published(gateway, policies)


async def test_a_published_revision_is_replayed_with_progress_and_at_last_the_report(
    gateway: Recorded, replay: Replay, tmp_path: Path
) -> None:
    digest = await candidate(gateway, tmp_path / "candidate")

    outcomes = [outcome async for outcome in replay(digest[:8])]

    *progress, report = outcomes
    assert isinstance(report, Report)
    assert report.candidate == digest
    assert report.effects == {"NEWLY_ALLOWED": 1}
    assert all(isinstance(one, Progress) for one in progress)
    last = progress[-1]
    assert isinstance(last, Progress)
    assert (last.done, last.decisions) == (last.total, 13)


async def test_a_revision_that_was_not_published_is_not_replayed(replay: Replay) -> None:
    with pytest.raises(Denied) as refused:
        await anext(replay("0" * 8))

    assert refused.value.reason is Reason.NOT_FOUND


async def test_another_replay_waits_until_the_first_is_over_or_given_up(
    gateway: Recorded, replay: Replay, tmp_path: Path
) -> None:
    digest = await candidate(gateway, tmp_path / "candidate")

    async with aclosing(replay(digest)) as first:
        await anext(first)
        with pytest.raises(Outage) as refused:
            await anext(replay(digest))
    outcomes = [outcome async for outcome in replay(digest)]

    assert refused.value.reason is Reason.OVERLOADED
    assert isinstance(outcomes[-1], Report)


async def test_nobody_is_left_working_for_who_stopped_listening(tmp_path: Path) -> None:
    archive = known_archive(edited(tmp_path / "candidate"))

    async with OpenTeam(2)(archive) as team:
        pids = team.pids

    assert len(pids) == 2
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110, ASYNC240 - a look at the kernel
