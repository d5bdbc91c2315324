"""Who is let in, for how many calls, and what is known of who is not."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import World, world

from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest, Outage, Reason
from remit_server.domain.identity import Caller
from remit_server.domain.secret import Secret

METHOD = "IssueCredentials"


def caller(name: str) -> Caller:
    return Caller("192.0.2.7", unverified_bearer=Secret(name))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, per_minute=3, per_actor=2) as made:
        yield made


async def admit_once(gateway: World, name: str = "copilot") -> str:
    async with gateway.admit(caller(name), METHOD) as admitted:
        return admitted.actor.actor_id


async def test_a_known_agent_is_let_in_with_the_address_it_calls_from(gateway: World) -> None:
    async with gateway.admit(caller("copilot"), METHOD) as admitted:
        assert (admitted.actor, admitted.peer) == (gateway.copilot, "192.0.2.7")


async def test_a_stranger_is_counted_and_not_put_on_record_one_by_one(gateway: World) -> None:
    for _ in range(3):
        with pytest.raises(Denied) as refused:
            await admit_once(gateway, "stranger")
        assert refused.value.reason is Reason.ACTOR_REJECTED

    await gateway.rejections.write()
    (event,) = await gateway.events()
    assert '"count":3' in event.body_text


async def test_a_failure_nobody_thought_of_while_authenticating_is_counted(gateway: World) -> None:
    async def broken(_: object) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with replace(gateway.admit, authenticate=broken)(caller("copilot"), METHOD):
            pytest.fail("was let in")

    await gateway.rejections.write()
    (event,) = await gateway.events()
    assert '"reason":"INTERNAL"' in event.body_text


async def test_an_actor_over_its_budget_is_told_to_wait(gateway: World) -> None:
    for _ in range(3):
        await admit_once(gateway)

    with pytest.raises(Outage) as refused:
        await admit_once(gateway)
    gateway.clock.advance(seconds=20)

    assert refused.value.reason is Reason.RATE_LIMITED
    assert await admit_once(gateway) == "corp:copilot"


async def test_an_actor_has_its_own_places_and_gets_them_back(gateway: World) -> None:
    gateway.agent("other")

    async with AsyncExitStack() as running:
        for _ in range(2):
            await running.enter_async_context(gateway.admit(caller("copilot"), METHOD))
        with pytest.raises(Outage) as refused:
            await admit_once(gateway)
        assert await admit_once(gateway, "other") == "corp:other"
    gateway.clock.advance(minutes=1)

    assert refused.value.reason is Reason.OVERLOADED
    assert await admit_once(gateway) == "corp:copilot"


async def test_a_place_is_given_back_when_the_call_fails(gateway: World) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with gateway.admit(caller("copilot"), METHOD):
                raise ZeroDivisionError
    gateway.clock.advance(minutes=1)

    assert await admit_once(gateway) == "corp:copilot"


async def test_what_an_admitted_caller_sent_and_nobody_can_read_is_on_record_under_its_name(gateway: World) -> None:
    by = gateway.admitted()

    with pytest.raises(InvalidRequest):
        async with gateway.admit.reading(by, METHOD):
            raise InvalidRequest([FieldViolation("intent.purpose", "must not hold control characters")])

    (event,) = await gateway.events()
    assert event.kind == "request_refused"
    assert all(text in event.body_text for text in ("corp:copilot", METHOD, "INVALID_REQUEST", "intent.purpose"))
