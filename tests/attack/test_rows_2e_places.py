"""G6: a stranger, or one agent, holds the gateway's places or its connections for nothing."""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.attack.raw_http2 import ISSUE, PREFACE, RawConnection, framed_message, headers, raw_connection, raw_socket
from tests.fakes import world
from tests.identity_world import AGENTS
from tests.token_forge import HandClock, forge, settings
from tests.transport.gateway_server import Served, as_agent, failure_of, issue_message, served

from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.jwks import MOST_WAITING, IssuerKeys
from remit_server.adapters.identity.oidc import OidcVerifier, TrustedIssuer
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.domain.identity import Actor, Caller
from remit_server.transport.grpc.interceptor import MOST_OF_A_STRANGER, MOST_UNTAKEN

HEALTH = "/grpc.health.v1.Health/Check"
SHORT = timedelta(seconds=0.3)
EXTENDED = os.environ.get("REMIT_EXTENDED") == "1"
CALLS = 10_000 if EXTENDED else 300
# UNAVAILABLE is HTTP/2's REFUSED_STREAM: nothing was looked at, and every client may ask again (RFC 9113, 8.7).
CLEAN = {grpc.StatusCode.RESOURCE_EXHAUSTED, *([grpc.StatusCode.UNAVAILABLE] if EXTENDED else [])}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with (
        world(tmp_path) as made,
        served(made, tmp_path, concurrent_calls=4, read_within=SHORT, taken_within=SHORT) as running,
    ):
        yield running


def request_id(number: int) -> str:
    return f"4c1b7d52-3f0e-4a4e-9a3a-{number:012d}"


async def outcome(stub: Any, number: int, agent: str = "copilot") -> grpc.StatusCode:
    """Asks for credentials as an honest agent and returns the code of the answer."""
    message = issue_message(request_id=request_id(number), subject_token=f"alice@{agent}")
    try:
        await stub.IssueCredentials(message, metadata=as_agent(agent))
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_g6_a_call_that_sends_no_message_gives_its_place_back(gateway: Served) -> None:
    method: Any = gateway.channel.stream_unary(ISSUE)
    calls = [method(metadata=as_agent()) for _ in range(4)]

    codes = {await call.code() for call in calls}

    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
    assert (await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())).grant.name


async def test_g6_strangers_who_send_no_message_hold_no_place(gateway: Served) -> None:
    method: Any = gateway.channel.stream_unary(ISSUE)
    stalling = [method(metadata=as_agent("stranger")) for _ in range(40)]

    answered = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

    assert answered.grant.name
    assert {await call.code() for call in stalling} <= {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }


async def test_g6_health_checks_that_send_no_message_hold_few_places(tmp_path: Path) -> None:
    async with world(tmp_path) as made, served(made, tmp_path, concurrent_calls=MOST_OF_A_STRANGER + 4) as running:
        method: Any = running.channel.stream_unary(HEALTH)
        stalling = [method(metadata=()) for _ in range(MOST_OF_A_STRANGER + 1)]
        first = await next(asyncio.as_completed([asyncio.ensure_future(call.code()) for call in stalling]))

        assert first is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await running.stub.IssueCredentials(issue_message(), metadata=as_agent())).grant.name
        for call in stalling:
            call.cancel()


async def test_g6_one_address_cannot_have_the_health_checks_of_others_refused(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as made,
        served(made, tmp_path) as running,
        raw_connection(running, source="127.0.0.2") as orchestrator,
    ):
        method: Any = running.channel.stream_unary(HEALTH)
        stalling = [method(metadata=()) for _ in range(MOST_OF_A_STRANGER + 1)]
        first = await next(asyncio.as_completed([asyncio.ensure_future(call.code()) for call in stalling]))
        number = orchestrator.open_stream(headers(HEALTH, authorization=()))
        orchestrator.h2.send_data(number, framed_message(b""), end_stream=True)
        await orchestrator.flush()

        begun = await started(orchestrator, [number])

        assert first is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert begun == {"0": 1}


async def test_g6_forged_tokens_hold_few_places_while_their_issuer_does_not_answer(tmp_path: Path) -> None:
    silent = asyncio.Event()

    async def hanging(_: str) -> bytes:
        await silent.wait()
        return b"{}"

    clock, issuer = HandClock(), settings(actors=True)
    keys = IssuerKeys(settings=issuer, clock=clock, fetch=hanging)
    verifier = OidcVerifier([TrustedIssuer(issuer, keys)], clock)
    by_token = ActorAuthentication(AGENTS, SpiffeVerifier({"example.org"}, clock), verifier)
    async with world(tmp_path) as made:
        by_name = made.admit.authenticate

        async def either(caller: Caller, /) -> Actor:
            """Honest agents here need no key set."""
            shown = caller.unverified_bearer
            return await (by_token(caller) if shown and "." in shown.reveal() else by_name(caller))

        made.admit = replace(made.admit, authenticate=either)
        async with served(made, tmp_path, concurrent_calls=MOST_WAITING + 4) as running:
            forged = (("authorization", f"Bearer {forge()[:-8]}AAAAAAAA"),)
            calls = [running.stub.IssueCredentials(issue_message(), metadata=forged) for _ in range(MOST_WAITING + 1)]
            codes = [asyncio.ensure_future(call.code()) for call in calls]
            first = await next(asyncio.as_completed(codes))

            honest = await outcome(running.stub, 1)

            silent.set()
            assert (first, honest) == (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK)
            assert set(await asyncio.gather(*codes)) == {grpc.StatusCode.UNAVAILABLE}


# Answers that nobody takes: HTTP/2 without a window (CVE-2019-9517)


async def started(connection: RawConnection, numbers: list[int]) -> Counter[str]:
    """Returns how the streams began: `http 200` where an answer waits for its window."""
    while any(not answer.headers and not answer.over for answer in (connection.answers[n] for n in numbers)):
        await connection.receive()
    return Counter(connection.answers[number].status for number in numbers)


async def test_g6_strangers_who_take_no_answer_hold_few_places(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as made,
        served(made, tmp_path, concurrent_calls=MOST_OF_A_STRANGER + 4) as running,
        raw_connection(running) as connection,
    ):
        await connection.settle(initial_window_size=0)
        numbers = [connection.open_stream(headers(HEALTH, authorization=())) for _ in range(MOST_OF_A_STRANGER + 4)]
        for number in numbers:
            connection.h2.send_data(number, framed_message(b""), end_stream=True)
        await connection.flush()

        begun = await started(connection, numbers)

        assert begun == {"http 200": MOST_OF_A_STRANGER, "8": 4}
        assert await outcome(running.stub, 1) is grpc.StatusCode.OK


async def test_g6_whoever_does_not_take_an_answer_in_time_loses_its_place(gateway: Served) -> None:
    async with raw_connection(gateway) as connection:
        await connection.settle(initial_window_size=0)
        numbers = [connection.open_stream(headers()) for _ in range(4)]
        for number in numbers:
            message = issue_message(request_id=request_id(number)).SerializeToString()
            connection.h2.send_data(number, framed_message(message), end_stream=True)
        await connection.flush()
        begun = await started(connection, numbers)

        full = await outcome(gateway.stub, 98)
        while await outcome(gateway.stub, 99) is not grpc.StatusCode.OK:
            pass

        assert begun == {"http 200": 4}
        assert full is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert [connection.answers[number].data for number in numbers] == [b""] * 4


async def test_g6_one_agent_cannot_pile_up_answers_that_it_does_not_take(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as made,
        served(made, tmp_path, concurrent_calls=MOST_UNTAKEN + 64) as running,
        raw_connection(running) as connection,
    ):
        await connection.settle(initial_window_size=0)
        numbers = [connection.open_stream(headers()) for _ in range(MOST_UNTAKEN)]
        for number in numbers:
            message = issue_message(request_id=request_id(number)).SerializeToString()
            connection.h2.send_data(number, framed_message(message), end_stream=True)
        await connection.flush()
        begun = await started(connection, numbers)
        made.user("alice", made.agent("scribe"))

        assert begun == {"http 200": MOST_UNTAKEN}
        assert await outcome(running.stub, 999) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await outcome(running.stub, 999, "scribe") is grpc.StatusCode.OK


# Connections that say nothing, and calls in masses


async def test_g6_two_hundred_connections_that_stop_in_the_middle_of_a_word_hurt_nobody(gateway: Served) -> None:
    host, _, port = gateway.address.rpartition(":")
    with ExitStack() as plain:
        for number in range(200):
            slow = plain.enter_context(closing(socket.create_connection((host, int(port)))))
            slow.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        async with raw_socket(gateway) as first, raw_socket(gateway) as second, raw_socket(gateway) as third:
            for number, secured in enumerate((first, second, third)):
                await secured.send(PREFACE[: number * 8])

            outcomes = [await outcome(gateway.stub, number) for number in range(3)]

    assert outcomes == [grpc.StatusCode.OK] * 3


async def test_g6_calls_beyond_the_places_are_refused_cleanly_and_all_is_normal_afterwards(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=1_000_000) as made, served(made, tmp_path, concurrent_calls=32) as running:
        made.sts.gate = asyncio.Event()
        credentials = grpc.ssl_channel_credentials(running.roots)
        own_pool = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.aio.secure_channel(running.address, credentials, own_pool) for _ in range(8)]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        stubs = [CredentialServiceStub(channel) for channel in channels]
        calls = [asyncio.ensure_future(outcome(stubs[n % 8], n)) for n in range(CALLS)]
        await made.sts.called.wait()
        refused = await next(asyncio.as_completed(calls))
        made.sts.gate.set()

        codes = Counter(await asyncio.gather(*calls))

        assert refused in CLEAN
        assert codes.keys() == {grpc.StatusCode.OK, *CLEAN}
        assert [await outcome(running.stub, CALLS + n) for n in range(8)] == [grpc.StatusCode.OK] * 8
        assert len(made.sts.orders) == codes[grpc.StatusCode.OK] + 8
        for channel in channels:
            await channel.close()


# G7: one agent's noise is its own


async def test_g7_one_agents_calls_leave_places_for_the_others(tmp_path: Path) -> None:
    async with world(tmp_path, per_actor=4) as made, served(made, tmp_path, concurrent_calls=8) as running:
        made.user("alice", made.agent("scribe"))
        made.sts.gate = asyncio.Event()
        noisy = [asyncio.ensure_future(outcome(running.stub, number)) for number in range(8)]
        refused: set[asyncio.Future[grpc.StatusCode]] = set()
        while len(refused) < 4:
            refused |= (await asyncio.wait(set(noisy) - refused, return_when=asyncio.FIRST_COMPLETED))[0]
        other = asyncio.ensure_future(outcome(running.stub, 1, "scribe"))
        while len(made.sts.orders) < 5:
            made.sts.called.clear()
            await made.sts.called.wait()
        made.sts.gate.set()

        assert {call.result() for call in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert await other is grpc.StatusCode.OK
        assert Counter(await asyncio.gather(*noisy))[grpc.StatusCode.OK] == 4


async def test_g7_one_agents_spent_minute_is_not_the_others(tmp_path: Path) -> None:
    async with world(tmp_path, per_minute=3) as made, served(made, tmp_path) as running:
        made.user("alice", made.agent("scribe"))

        noisy = [await outcome(running.stub, number) for number in range(5)]
        quiet = [await outcome(running.stub, number, "scribe") for number in range(3)]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await running.stub.IssueCredentials(issue_message(request_id=request_id(9)), metadata=as_agent())

        assert noisy == [grpc.StatusCode.OK] * 3 + [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
        assert quiet == [grpc.StatusCode.OK] * 3
        assert failure_of(raised.value).info.reason == "RATE_LIMITED"
