"""Previews decide as issuing does and issue nothing; the sweep takes what nobody finished."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes import World, permission, world

from remit_server.application.issuing.preview_credentials import WouldIssue, WouldRefuse
from remit_server.application.sweep import Sweep
from remit_server.domain.errors import Denied, Outage, Reason


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def test_a_preview_shows_the_very_policy_that_issuing_uses(gateway: World) -> None:
    preview = await gateway.preview(gateway.ask())

    issued = await gateway.issue(gateway.request())

    assert isinstance(preview, WouldIssue)
    assert preview.plan.session_policy == issued.grant.session_policy


async def test_a_refused_preview_is_a_value_and_on_record(gateway: World) -> None:
    preview = await gateway.preview(gateway.ask(permission("s3:GetObject", "arn:aws:s3:::reports/*")))

    assert isinstance(preview, WouldRefuse)
    assert preview.denied.reason is Reason.CEILING_EXCEEDED
    (event,) = await gateway.events()
    assert (event.kind, json.loads(event.body_text)["reason"]) == ("preview_decided", "CEILING_EXCEEDED")


async def test_a_preview_opens_no_task_and_calls_no_sts(gateway: World) -> None:
    await gateway.preview(gateway.ask())

    assert gateway.sts.orders == []
    assert await gateway.trail() == ["preview_decided"]


async def test_a_preview_for_someone_elses_task_is_refused(gateway: World) -> None:
    issued = await gateway.issue(gateway.request())
    gateway.user("bob", gateway.copilot)

    with pytest.raises(Denied) as raised:
        await gateway.preview(gateway.ask(user="bob", task_id=issued.grant.task_id))

    assert raised.value.reason is Reason.NOT_FOUND


async def test_an_outage_of_the_policy_fails_a_preview(gateway: World) -> None:
    gateway.policy.answer = Outage(Reason.POLICY_UNAVAILABLE, "the policy engine did not answer")

    with pytest.raises(Outage):
        await gateway.preview(gateway.ask())

    assert await gateway.trail() == ["request_refused"]


async def test_the_sweep_expires_grants_whose_time_guard_has_passed(gateway: World) -> None:
    await gateway.issue(gateway.request(requested_duration=timedelta(seconds=20)))
    gateway.clock.advance(seconds=21)

    moved = await gateway.ledger.sweep(gateway.clock.now())

    assert moved == 1
    assert (await gateway.trail())[-1] == "grant_expired"


async def test_the_sweep_takes_a_grant_whose_outcome_nobody_recorded(gateway: World) -> None:
    gateway.sts.gate = asyncio.Event()
    call = asyncio.create_task(gateway.issue(gateway.request()))
    await gateway.sts.called.wait()
    gateway.clock.advance(seconds=61)

    await gateway.ledger.sweep(gateway.clock.now())
    gateway.sts.gate.set()

    with pytest.raises(Denied) as raised:
        await call
    assert raised.value.reason is Reason.GRANT_NOT_LIVE
    assert "grant_withheld" in await gateway.trail()


async def test_the_sweep_goes_on_and_writes_what_was_counted(gateway: World) -> None:
    gateway.rejections.count("192.0.2.1", Reason.ACTOR_REJECTED)
    gateway.rejections.count("192.0.2.1", Reason.ACTOR_REJECTED)
    sweeping = asyncio.create_task(
        Sweep(
            gateway.ledger,
            gateway.rejections,
            gateway.clock,
            every=timedelta(milliseconds=1),
            rejections_every=timedelta(0),
        )()
    )

    while not await gateway.trail():  # noqa: ASYNC110 - the sweep tells nobody that it ran
        await asyncio.sleep(0.01)
    sweeping.cancel()

    (event,) = await gateway.events()
    assert (event.kind, json.loads(event.body_text)["count"]) == ("callers_rejected", 2)


async def test_a_flood_of_strangers_fills_a_bounded_count(gateway: World) -> None:
    for number in range(3000):
        gateway.rejections.count(f"peer-{number}", Reason.ACTOR_REJECTED)

    await gateway.rejections.write()

    events = [json.loads(event.body_text) for event in await gateway.events()]
    assert len(events) <= 1025
    assert sum(event["count"] for event in events) == 3000
