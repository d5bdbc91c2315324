"""A clock that is stepped is noticed at the next look, and nothing is issued until it has settled."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import world
from tests.identity_world import identity_world, refusal
from tests.svid_forge import COPILOT, svid
from tests.token_forge import NOON, user_token

from remit_server.adapters.identity.steady_clock import (
    AcceptsWhileClockIsSteady,
    ProvesWhileClockIsSteady,
    WhileClockIsSteady,
)
from remit_server.adapters.system_clock import SETTLING, SystemClock
from remit_server.application.admission import Rejections
from remit_server.application.issuing.end_task import EndTask
from remit_server.application.ports import VerifyDelegation
from remit_server.application.sweep import Sweep
from remit_server.domain.errors import Denied, Outage, Reason, Remedy
from remit_server.domain.identity import Actor, Caller, Delegation
from remit_server.domain.secret import Secret


class TwoTimes:
    """The wall's time and the steady one, each moved by hand: the machine's own must not be set by a test."""

    def __init__(self) -> None:
        self.wall = NOON.timestamp()
        self.steady = 5000.0
        self.clock = SystemClock(lambda: self.wall, lambda: self.steady)

    def step(self, seconds: float) -> None:
        """Sets the wall clock."""
        self.wall += seconds

    def run(self, seconds: float) -> None:
        """Lets time pass for both."""
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def times() -> TwoTimes:
    return TwoTimes()


def test_t3_a_clock_that_runs_is_settled_however_long_nobody_looked(times: TwoTimes) -> None:
    assert times.clock.now() == NOON

    times.run(7 * 86400)

    assert times.clock.unsettled_for() is None
    assert times.clock.now() == NOON + timedelta(days=7)


@pytest.mark.parametrize("seconds", [30.1, -30.1, 3600, -3600, 10 * 365 * 86400])
def test_t3_a_step_is_noticed_at_the_next_look_and_told(
    times: TwoTimes, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    times.run(10)
    times.step(seconds)

    assert times.clock.unsettled_for() == SETTLING
    assert f"was stepped by {seconds:+.1f} seconds" in caplog.text
    assert times.clock.now() == datetime.fromtimestamp(NOON.timestamp() + 10 + seconds, UTC)


@pytest.mark.parametrize("seconds", [30.0, -30.0, 1.0, -0.4])
def test_t3_a_step_within_the_leeway_of_tokens_is_none(times: TwoTimes, seconds: float) -> None:
    times.step(seconds)

    assert times.clock.unsettled_for() is None


def test_t3_slewing_is_no_step_however_long_it_lasts(times: TwoTimes) -> None:
    for _ in range(1000):
        times.run(60)
        times.step(0.03)  # 500 parts in a million, the most that a kernel slews

        assert times.clock.unsettled_for() is None


def test_t3_a_step_that_a_record_saw_first_is_still_known_when_something_is_to_be_issued(times: TwoTimes) -> None:
    times.step(3600)
    times.clock.now()
    times.run(59)

    assert times.clock.unsettled_for() == timedelta(seconds=1)
    times.run(1)
    assert times.clock.unsettled_for() is None


def test_t3_a_clock_that_is_put_right_again_has_to_settle_again(times: TwoTimes) -> None:
    times.step(3600)
    times.clock.now()
    times.run(30)
    times.step(-3600)

    assert times.clock.unsettled_for() == SETTLING


def test_t3_deadlines_do_not_move_with_the_wall() -> None:
    stuck = SystemClock(lambda: 0.0, lambda: 0.0)

    first = stuck.monotonic()

    assert stuck.monotonic() >= first > 0


def test_the_machines_own_clock_is_settled_from_its_start(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = SystemClock()

    assert clock.unsettled_for() is None
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=30)
    assert caplog.text == ""


# --- what is issued by it ---------------------------------------------------------------------------------------------


def _steady(verify: VerifyDelegation, times: TwoTimes) -> WhileClockIsSteady:
    return WhileClockIsSteady(verify, times.clock)


async def test_t3_no_delegation_is_judged_until_the_clock_has_settled(times: TwoTimes) -> None:
    world = identity_world()
    verify, actor, token = _steady(world.verify_delegation, times), await world.by_certificate(), Secret(user_token())
    times.step(-3600)

    with pytest.raises(Outage) as failed:
        await verify(token, actor)
    times.run(SETTLING.total_seconds())

    assert (failed.value.reason, failed.value.remedy) == (Reason.INTERNAL, Remedy.RETRY_LATER)
    assert failed.value.retry_after == SETTLING
    assert "clock" in failed.value.message
    assert (await verify(token, actor)).subject.subject == "alice"


@pytest.mark.parametrize("expires_in", [600, -600], ids=["a yes", "a no"])
async def test_t3_what_was_judged_while_the_clock_was_stepped_is_neither_yes_nor_no(
    times: TwoTimes, expires_in: int
) -> None:
    world = identity_world()
    actor = await world.by_certificate()

    async def stepped_meanwhile(token: Secret, actor: Actor, /) -> Delegation:
        times.step(3600)
        return await world.verify_delegation(token, actor)

    token = Secret(user_token(iat=int(NOON.timestamp()) - 700, exp=int(NOON.timestamp()) + expires_in))

    with pytest.raises(Outage):
        await _steady(stepped_meanwhile, times)(token, actor)


async def test_a_settled_clock_changes_nothing(times: TwoTimes) -> None:
    world = identity_world()
    actor = await world.by_certificate()

    denied = await refusal(_steady(world.verify_delegation, times)(Secret(user_token(azp="scribe")), actor))

    assert isinstance(denied, Denied)
    assert denied.reason is Reason.TOKEN_NOT_BOUND


async def test_t3_a_task_that_is_ended_by_a_stepped_clock_says_what_is_out(times: TwoTimes, tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        issued = await gateway.issue(gateway.request())
        end = EndTask(gateway.ledger, times.clock, times.clock.unsettled_for)
        times.step(20 * 365 * 86400)

        ended = await end(gateway.admitted(), issued.grant.task_id)

        assert ended.end_time > issued.grant.expire_time
        assert ended.grants == (issued.grant.name,)
        assert ended.credentials_until == issued.grant.expire_time
        (*_, record) = await gateway.events()
        assert json.loads(record.body_text)["grants"] == [issued.grant.name]


async def test_t3_a_task_that_is_ended_by_a_settled_clock_has_nothing_out_when_its_time_is_over(
    times: TwoTimes, tmp_path: Path
) -> None:
    async with world(tmp_path) as gateway:
        issued = await gateway.issue(gateway.request())
        end = EndTask(gateway.ledger, times.clock, times.clock.unsettled_for)
        times.run(20 * 365 * 86400)

        ended = await end(gateway.admitted(), issued.grant.task_id)

        assert (ended.grants, ended.credentials_until) == ((), None)


async def test_t3_no_grant_is_called_over_by_a_stepped_clock(times: TwoTimes) -> None:
    swept: list[datetime] = []
    turns = asyncio.Semaphore(0)

    class NotedLedger:
        """Notes with which time it is asked to sweep, which a real one shows only by what it did."""

        async def sweep(self, now: datetime) -> int:
            swept.append(now)
            turns.release()
            return 0

    def look() -> timedelta | None:
        turns.release()
        return times.clock.unsettled_for()

    ledger: Any = NotedLedger()
    rejections = Rejections(ledger, times.clock)
    sweep = Sweep(ledger, rejections, times.clock, every=timedelta(milliseconds=1), unsettled_for=look)
    times.step(3600)
    sweeping = asyncio.create_task(sweep())
    await turns.acquire()
    await turns.acquire()  # two looks, and no sweep between them
    unswept = list(swept)
    times.run(SETTLING.total_seconds())
    while not swept:
        await turns.acquire()
    sweeping.cancel()

    assert unswept == []
    assert swept[0] == NOON + timedelta(hours=1) + SETTLING


@pytest.mark.parametrize("step", [0, 3600])
async def test_t3_no_agent_is_turned_away_by_a_clock_that_was_stepped(times: TwoTimes, step: float) -> None:
    proves = ProvesWhileClockIsSteady(identity_world().authenticate, times.clock)
    times.step(step)

    with pytest.raises(Outage if step else Denied) as refused:
        await proves(Caller(peer="192.0.2.7", certificate_der=b"no certificate"))

    assert refused.value.reason is (Reason.INTERNAL if step else Reason.ACTOR_REJECTED)


async def test_t3_an_agent_that_is_known_all_the_same_is_let_in_by_a_clock_that_was_stepped(times: TwoTimes) -> None:
    world = identity_world()
    proves = ProvesWhileClockIsSteady(world.authenticate, times.clock)
    times.step(600)

    actor = await proves(Caller(peer="192.0.2.7", certificate_der=svid(COPILOT)))

    assert actor.actor_id.startswith("spiffe://")


def test_t3_nobody_is_acted_for_in_their_absence_while_the_clock_has_not_settled(times: TwoTimes) -> None:
    accepts = AcceptsWhileClockIsSteady(lambda _: True, times.clock)
    times.clock.now()
    before = accepts("https://idp.example")
    times.wall += 3600
    times.clock.now()

    with pytest.raises(Outage) as refused:
        accepts("https://idp.example")

    assert before
    assert refused.value.retry_after is not None
