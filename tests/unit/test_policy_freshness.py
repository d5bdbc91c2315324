"""A policy that its source has not confirmed for too long decides nothing, until it does."""

from datetime import datetime, timedelta

import pytest
from tests.fakes import NOON

from remit_server.application.policy.following.freshness import Freshness, WhilePolicyIsFresh
from remit_server.application.ports import Revision
from remit_server.domain.administration import AdminAllow, AdminDecision, Visible
from remit_server.domain.decision import Decision, DecisionInput, Deny, PolicyReason
from remit_server.domain.errors import Outage, Reason, Remedy
from remit_server.domain.policy_records import PolicyConfirmed, PolicyUnconfirmed

LIMIT = timedelta(hours=1)
QUESTION = DecisionInput("{}")


class TwoClocks:
    """A clock whose two sides are moved apart, as a sleeping machine or a set-back clock does; no real one can be."""

    def __init__(self) -> None:
        self.time = NOON
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def unsettled_for(self) -> None:
        return None


@pytest.fixture
def clock() -> TwoClocks:
    return TwoClocks()


def confirmed(clock: TwoClocks, limit: timedelta | None = LIMIT) -> Freshness:
    freshness = Freshness(clock, limit, source="server")
    freshness.confirm()
    return freshness


@pytest.mark.parametrize(("wall", "running"), [(3600, 0), (0, 3600), (3600, 3600), (-7200, 3600)])
def test_up_to_the_limit_by_both_clocks_all_is_well(clock: TwoClocks, wall: int, running: int) -> None:
    freshness = confirmed(clock)

    clock.time += timedelta(seconds=wall)
    clock.seconds += running

    assert not freshness.is_over


@pytest.mark.parametrize(("wall", "running"), [(3601, 0), (0, 3601), (-7200, 3601)])
def test_past_the_limit_by_either_clock_it_is_over_until_confirmed(clock: TwoClocks, wall: int, running: int) -> None:
    freshness = confirmed(clock)
    clock.time += timedelta(seconds=wall)
    clock.seconds += running

    assert freshness.is_over
    freshness.confirm()

    assert not freshness.is_over


def test_what_was_never_confirmed_is_over(clock: TwoClocks) -> None:
    assert Freshness(clock, LIMIT, source="server").is_over


@pytest.mark.parametrize(("minutes", "is_over"), [(59, False), (61, True)])
def test_a_start_counts_from_what_was_known_before(clock: TwoClocks, minutes: int, *, is_over: bool) -> None:
    since = NOON - timedelta(minutes=minutes)

    assert Freshness(clock, LIMIT, source="server", since=since).is_over is is_over


def test_without_a_limit_nothing_is_ever_over(clock: TwoClocks) -> None:
    assert not Freshness(clock, None, source="folder").is_over


def test_a_change_is_told_once(clock: TwoClocks) -> None:
    freshness = confirmed(clock)
    told = [freshness.turned("r")]
    clock.seconds += 3601
    told += [freshness.turned("r"), freshness.turned("r")]
    freshness.confirm()
    told += [freshness.turned("r"), freshness.turned("r")]

    assert told == [
        None,
        PolicyUnconfirmed("server", "r", NOON, 3600),
        None,
        PolicyConfirmed("server", "r"),
        None,
    ]


class Yes:
    """A policy that answers: what is asked of it is the point."""

    active = Revision("r", {})

    async def follow(self, activation: int, /) -> None:
        raise NotImplementedError

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        del revision, question
        return Deny((PolicyReason("no", "No.", Remedy.GIVE_UP),))

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        del revision, question
        return AdminAllow(Visible(everything=True))


async def test_past_the_limit_no_side_decides(clock: TwoClocks) -> None:
    policy = WhilePolicyIsFresh(Yes(), confirmed(clock))
    clock.seconds += 3601

    for ask in (policy.decide, policy.administer):
        with pytest.raises(Outage) as raised:
            await ask(policy.active, QUESTION)

        assert raised.value.reason is Reason.POLICY_UNAVAILABLE


async def test_within_the_limit_both_sides_decide(clock: TwoClocks) -> None:
    policy = WhilePolicyIsFresh(Yes(), confirmed(clock))

    assert isinstance(await policy.decide(policy.active, QUESTION), Deny)
    assert isinstance(await policy.administer(policy.active, QUESTION), AdminAllow)
