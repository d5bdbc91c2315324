"""The wall clock of a real gateway process is stepped while it runs (8-threats.md T3), by libfaketime.

It fakes the time for the whole process, the libraries of gRPC and of SQLite too, and leaves the monotonic clock alone,
as a step of a real clock does. docs/decisions/faults.md tells why it is part of the extended run only.
"""

import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from tests.fake_sts import FakeSts, Fault, Request
from tests.faults.rig.asking import until
from tests.faults.rig.configuration import note_ceilings
from tests.faults.rig.libfaketime import SteppedClock, stepped_clock
from tests.faults.rig.small_stage import SmallStage, small_stage

from remit_server.adapters.system_clock import LARGEST_STEP, SETTLING

pytestmark = [
    pytest.mark.skipif(os.environ.get("REMIT_EXTENDED") != "1", reason="a minute each: REMIT_EXTENDED=1 runs them"),
    pytest.mark.timeout(400),
]
HOUR = timedelta(hours=1)
ASKED_FOR = timedelta(seconds=900)
IN_DOUBT = "INTERNAL INTERNAL"


@pytest.fixture
def clock(tmp_path: Path) -> SteppedClock:
    return stepped_clock(tmp_path)


@pytest.fixture
async def stage(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[SmallStage]:
    async with small_stage(tmp_path, environment=clock.environment) as made:
        note_ceilings()
        await made.until_ok()
        yield made


async def issued_until(stage: SmallStage) -> datetime:
    """Returns until when the last credentials are good, as their record says."""
    bodies = [body for kind, body in await stage.records() if kind == "credentials_issued"]
    return datetime.fromisoformat(bodies[-1]["expire_time"])


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["an hour on", "an hour back"])
async def test_t3_nothing_is_issued_by_a_clock_that_was_stepped_until_it_has_run_evenly(
    stage: SmallStage, clock: SteppedClock, step: timedelta
) -> None:
    before, calls = await stage.recorded(), len(stage.sts.requests)

    clock.step(step)
    stepped = time.monotonic()
    refused = [await stage.ask() for _ in range(3)]
    told = await stage.kinds(before)
    sent = len(stage.sts.requests) - calls
    clock.step(timedelta())  # which is a step too
    await stage.until_ok()
    took = time.monotonic() - stepped

    assert {answer.short for answer in refused} == {IN_DOUBT}
    assert all("clock was stepped" in answer.words for answer in refused)
    assert sent == 0
    assert told.keys() <= {"request_refused"}  # or counted as rejected, where even the certificate's time is in doubt
    assert took >= SETTLING.total_seconds()
    assert await issued_until(stage) <= datetime.now(UTC) + ASKED_FOR
    assert "was stepped by" in stage.log


async def test_t3_a_leap_is_no_step_and_bounds_are_off_by_no_more_than_the_leap(
    stage: SmallStage, clock: SteppedClock
) -> None:
    leaps = [timedelta(seconds=seconds) for seconds in (1, 0, 20, 0)]
    off = []

    for leap in leaps:
        clock.step(leap)
        await stage.until_ok()
        off.append(await issued_until(stage) - datetime.now(UTC) - ASKED_FOR)

    assert IN_DOUBT not in {answer.short for answer in stage.answers}
    assert max(off) <= max(leaps) < LARGEST_STEP
    assert "was stepped by" not in stage.log


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["an hour on", "an hour back"])
async def test_t3_a_step_while_sts_answers_changes_no_bound_and_cuts_no_deadline(
    stage: SmallStage, clock: SteppedClock, step: timedelta
) -> None:
    stage.sts.plan(stepping(clock, step))

    heard = await stage.ask()
    clock.step(timedelta())
    until_when = datetime.now(UTC) + ASKED_FOR

    assert heard.short in {"OK", "UNAVAILABLE STS_UNAVAILABLE"}
    assert len({request.body for request in stage.sts.requests[1:]}) == 1
    assert await issued_until(stage) <= until_when
    assert await stage.unrecorded() == []
    await until(lambda: _gone_or_issued(stage))


def stepping(clock: SteppedClock, step: timedelta) -> Fault:
    """Steps the gateway's clock, and answers as STS does."""

    async def answering(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
        clock.step(step)
        return sts.answer(http, request)

    return answering


async def _gone_or_issued(stage: SmallStage) -> bool:
    """Says whether no grant is left of which nobody knows."""
    return {state for (state,) in await stage.rows("SELECT state FROM grants")} <= {"ISSUED", "REVOKING", "FAILED"}
