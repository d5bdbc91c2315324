"""What a stranger who can reach a port may do to it: hold its places, break its calls, fill its log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.fakes import world
from tests.transport.gateway_server import Served, as_agent, failure_of, issue_message, served

from remit.v1 import types_pb2
from remit_server.domain.decision import Deny, PolicyReason
from remit_server.domain.errors import Denied, FailedPermission, FieldViolation, InvalidRequest, Reason, Refusal, Remedy
from remit_server.transport.grpc.interceptor import MOST_STRANGERS
from remit_server.transport.grpc.status import MOST_DETAIL_BYTES, status_of

ISSUE = "/remit.v1.CredentialService/IssueCredentials"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with (
        world(tmp_path) as made,
        served(made, tmp_path, concurrent_calls=4, read_within=timedelta(seconds=0.3)) as running,
    ):
        yield running


async def test_a_call_that_sends_no_message_gives_its_place_back(gateway: Served) -> None:
    method: Any = gateway.channel.stream_unary(ISSUE)
    calls = [method(metadata=as_agent()) for _ in range(4)]

    codes = {await call.code() for call in calls}

    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
    assert (await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())).grant.name


async def test_strangers_who_send_no_message_hold_no_place(gateway: Served) -> None:
    method: Any = gateway.channel.stream_unary(ISSUE)
    stalling = [method(metadata=as_agent("stranger")) for _ in range(40)]

    answered = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

    assert answered.grant.name
    assert {await call.code() for call in stalling} <= {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }


async def test_health_checks_that_send_no_message_hold_few_places(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as made,
        served(made, tmp_path, concurrent_calls=MOST_STRANGERS + 4, read_within=timedelta(seconds=5)) as running,
    ):
        method: Any = running.channel.stream_unary("/grpc.health.v1.Health/Check")
        stalling = [method(metadata=()) for _ in range(MOST_STRANGERS + 1)]
        first = await next(asyncio.as_completed([asyncio.ensure_future(call.code()) for call in stalling]))

        assert first is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await running.stub.IssueCredentials(issue_message(), metadata=as_agent())).grant.name
        for call in stalling:
            call.cancel()


async def test_a_call_of_two_messages_is_refused(gateway: Served) -> None:
    method: Any = gateway.channel.stream_unary(ISSUE)
    raw = issue_message().SerializeToString()

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await method(iter([raw, raw]), metadata=as_agent())

    assert failure_of(raised.value).info.reason == "INVALID_REQUEST"
    assert gateway.world.sts.orders == []


async def test_watching_health_is_not_served_because_it_would_hold_a_place_for_ever(gateway: Served) -> None:
    health: Any = health_pb2_grpc.HealthStub(gateway.channel)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health.Watch(health_pb2.HealthCheckRequest(service="x" * 1000)).read()

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\xff", b"\x12\x02\xff\xfe"])
async def test_bytes_that_are_no_message_are_an_invalid_request_on_record(gateway: Served, raw: bytes) -> None:
    call: Any = gateway.channel.unary_unary(ISSUE)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(raw, metadata=as_agent())

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failure_of(raised.value).info.reason == "INVALID_REQUEST"
    assert await gateway.world.trail() == ["request_refused"]


class Panic(BaseException):
    """What a library written in Rust raises when it panics: no Exception."""


async def test_a_panic_of_a_library_is_answered_as_internal_instead_of_never(gateway: Served) -> None:
    gateway.world.policy.answer = Panic("the secret cause")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent(), timeout=5)

    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_stranger_cannot_fill_the_log_with_refusals(gateway: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="remit_server")

    for message, agent in ((issue_message(), "stranger"), (issue_message("arn:aws:s3"), "copilot")):
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.stub.IssueCredentials(message, metadata=as_agent(agent))

    assert caplog.records == []


async def test_a_long_refusal_of_policy_reaches_a_caller_with_grpcs_own_limits(gateway: Served) -> None:
    gateway.world.policy.answer = Deny(tuple(PolicyReason(f"reason_{n}", "ü" * 500, Remedy.GIVE_UP) for n in range(32)))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert failure_of(raised.value).info.reason == "POLICY_DENIED"


_FAILURE = FailedPermission("s3:GetObject", "arn:aws:s3:::" + "r" * 1000, "role_ceiling", "m" * 3000)


@pytest.mark.parametrize(
    "error",
    [
        Denied(Reason.CEILING_EXCEEDED, "m" * 20_000),
        Denied(Reason.CEILING_EXCEEDED, "日" * 6_000, Refusal(Remedy.NARROW, (_FAILURE,) * 30)),
        InvalidRequest([FieldViolation("intent.capabilities[0].parameters.bucket", "is required: " + "x" * 400)] * 99),
    ],
    ids=["long message", "long everything", "many violations"],
)
def test_no_failure_is_larger_than_what_every_peer_takes(error: Denied | InvalidRequest) -> None:
    status = status_of(error)

    sent_twice = len(status.message.encode()) * 3  # percent-encoded in `grpc-message`, and once more in the details
    assert status.ByteSize() + sent_twice <= MOST_DETAIL_BYTES
    assert status.details


def test_a_refusal_that_is_too_long_keeps_its_remedy() -> None:
    error = Denied(Reason.CEILING_EXCEEDED, "too much", Refusal(Remedy.NARROW, (_FAILURE,) * 30))

    refusal = types_pb2.Refusal()
    (found,) = (detail for detail in status_of(error).details if detail.Unpack(refusal))

    assert found.ByteSize() < MOST_DETAIL_BYTES
    assert refusal.remedy == types_pb2.REMEDY_NARROW
