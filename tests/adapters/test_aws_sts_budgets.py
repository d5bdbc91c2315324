"""Calls to STS are bounded by account and region, and by how many run at a time."""

import asyncio

import pytest
from tests.fake_sts import (
    hanging,
    throttling,
)
from tests.sts_orders import REPORTS_ARN, a_role, an_order, calling

from remit_server.domain.errors import Outage, Reason


async def test_calls_over_the_budget_of_an_account_and_region_are_rate_limited_unsent() -> None:
    async with calling(requests_per_second=0.1, burst=2) as call:
        await call()
        await call()
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.reason is Reason.RATE_LIMITED
    assert raised.value.credentials_may_exist is False
    assert len(call.sts.requests) == 2


async def test_another_account_and_another_region_have_their_own_budget() -> None:
    roles = (
        a_role(),
        a_role(arn="arn:aws:iam::444455556666:role/other"),
        a_role(arn=f"{REPORTS_ARN}-us", region="us-east-1"),
    )

    async with calling(*roles, requests_per_second=0.1, burst=1) as call:
        sessions = [await call(an_order(role)) for role in roles]

    assert len(sessions) == 3


async def test_retries_are_paid_from_the_same_budget() -> None:
    async with calling(requests_per_second=0.1, burst=2) as call:
        call.sts.plan(*[throttling] * 4)
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.reason is Reason.RATE_LIMITED
    assert len(call.sts.requests) == 2


async def test_a_call_waits_its_turn_when_the_turn_comes_soon() -> None:
    async with calling(requests_per_second=1.0, burst=1) as call:
        await call()
        await call()

    (waited,) = call.pauses.seconds
    assert 0 < waited <= 1.0


async def test_more_calls_than_places_wait_and_a_full_gateway_says_so() -> None:
    async with calling(max_in_flight=1) as call:
        call.sts.plan(hanging)
        first = asyncio.create_task(call())
        await call.sts.wait_for_requests(1)
        with pytest.raises(Outage) as raised:
            await call(within=0.05)
        call.sts.released.set()
        await first

    assert raised.value.reason is Reason.OVERLOADED
    assert raised.value.credentials_may_exist is False


async def test_a_cancelled_call_frees_its_place() -> None:
    async with calling(max_in_flight=1) as call:
        call.sts.plan(hanging)
        first = asyncio.create_task(call())
        await call.sts.wait_for_requests(1)
        first.cancel()
        await asyncio.wait([first])

        session = await call()

    assert first.cancelled()
    assert session.credentials.access_key_id == call.sts.issued[-1].access_key_id
