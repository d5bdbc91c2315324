"""Server streams over real gRPC: who may open one, how many, and how each ends."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.attack.raw_http2 import framed_message, headers, raw_connection
from tests.fakes import World, world
from tests.transport.gateway_server import Failure, Served, as_agent, failure_of, issue_message, served

from remit.v1 import audit_service_pb2 as messages
from remit.v1.audit_service_pb2_grpc import (
    AuditServiceServicer,
    AuditServiceStub,
    add_AuditServiceServicer_to_server,
)
from remit_server.domain.errors import Denied, Reason
from remit_server.transport.grpc.interceptor import admitted_caller
from remit_server.transport.grpc.server import Offered

WATCH = "/remit.v1.AuditService/WatchEvents"


@dataclass
class Spring(AuditServiceServicer):
    """A service of one stream that begins with `first`; a test lets the others flow, where real ones come at will."""

    events: "asyncio.Queue[str | Exception | None]" = field(default_factory=asyncio.Queue)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    callers: list[str] = field(default_factory=list)

    async def ListEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def VerifyChain(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    async def WatchEvents(  # noqa: N802
        self, request: messages.WatchEventsRequest, context: Any
    ) -> AsyncGenerator[messages.WatchEventsResponse, None]:
        del request, context
        self.callers.append(admitted_caller().actor.actor_id)
        self.opened.set()
        try:
            yield _event("first")
            while (event := await self.events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield _event(event)
        finally:
            self.closed.set()


def _event(kind: str) -> messages.WatchEventsResponse:
    return messages.WatchEventsResponse(event=messages.AuditEvent(kind=kind))


@dataclass
class Watched:
    """A served world with a spring, and a stub for it."""

    running: Served
    spring: Spring
    stub: Any

    def watch(self, agent: str = "copilot") -> Any:
        return self.stub.WatchEvents(messages.WatchEventsRequest(), metadata=as_agent(agent))


@asynccontextmanager
async def watched(made: World, folder: Path, **bounds: Any) -> AsyncIterator[Watched]:
    spring = Spring()
    descriptor = messages.DESCRIPTOR.services_by_name["AuditService"]
    add: Any = add_AuditServiceServicer_to_server
    offered = Offered(descriptor, add, spring, made.admit, made.admit_streams)
    made.admit.budgets["WatchEvents"] = made.admit.budgets["WatchTask"]  # type: ignore[index]
    async with served(made, folder, also=[offered], **bounds) as running:
        yield Watched(running, spring, AuditServiceStub(running.channel))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Watched]:
    async with world(tmp_path) as made, watched(made, tmp_path) as running:
        yield running


async def failure(call: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        [_ async for _ in call]
    return failure_of(raised.value)


async def opened(call: Any) -> None:
    assert (await anext(aiter(call))).event.kind == "first"


async def first_of(call: Any) -> str | grpc.StatusCode:
    """Returns the first event of a stream, or how it was refused."""
    try:
        event = await anext(aiter(call))
    except grpc.aio.AioRpcError as error:
        return error.code()
    call.cancel()
    return str(event.event.kind)


async def test_a_stream_gives_its_events_as_they_come_and_ends_when_there_are_no_more(gateway: Watched) -> None:
    for event in ("one", "two", None):
        gateway.spring.events.put_nowait(event)

    heard = [answer.event.kind async for answer in gateway.watch()]

    assert heard == ["first", "one", "two"]
    assert gateway.spring.callers == ["corp:copilot"]


async def test_a_strangers_stream_never_begins(gateway: Watched) -> None:
    refused = await failure(gateway.watch("stranger"))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "ACTOR_REJECTED")
    assert not gateway.spring.opened.is_set()


async def test_a_malformed_request_for_a_stream_is_on_record_under_its_callers_name(gateway: Watched) -> None:
    method: Any = gateway.running.channel.unary_stream(WATCH)

    refused = await failure(method(b"\xba\x3e\x01x", metadata=as_agent()))

    assert refused.info.reason == "INVALID_REQUEST"
    assert await gateway.running.world.trail() == ["request_refused"]


async def test_a_stream_whose_request_does_not_come_gives_its_place_back(tmp_path: Path) -> None:
    short = timedelta(seconds=0.2)
    async with world(tmp_path) as made, watched(made, tmp_path, streams=1, read_within=short) as gateway:
        method: Any = gateway.running.channel.stream_stream(WATCH)

        stalled = await failure(method(metadata=as_agent()))
        call = gateway.watch()
        await opened(call)

        assert stalled.info.reason == "INVALID_REQUEST"
        call.cancel()


async def test_a_failure_in_a_stream_has_a_clean_status_after_what_was_sent(gateway: Watched) -> None:
    call = gateway.watch()
    await opened(call)
    gateway.spring.events.put_nowait(Denied(Reason.NOT_FOUND, "there is no such thing"))

    refused = await failure(call)

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_failure_nobody_thought_of_says_internal_error_and_nothing_else(gateway: Watched) -> None:
    gateway.spring.events.put_nowait(ZeroDivisionError("the secret cause"))

    refused = await failure(gateway.watch())

    assert (refused.code, refused.message) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_caller_who_hangs_up_ends_its_stream(gateway: Watched) -> None:
    call = gateway.watch()
    await opened(call)

    call.cancel()

    await gateway.spring.closed.wait()


async def test_streams_have_places_of_their_own_which_are_given_back(tmp_path: Path) -> None:
    async with world(tmp_path) as made, watched(made, tmp_path, streams=2, concurrent_calls=1) as gateway:
        first, second = gateway.watch(), gateway.watch()
        await opened(first)
        await opened(second)

        refused = await failure(gateway.watch())
        issued = await gateway.running.stub.IssueCredentials(issue_message(), metadata=as_agent())
        first.cancel()
        await gateway.spring.closed.wait()
        third = gateway.watch()
        await opened(third)

        assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert issued.grant.name
        second.cancel()
        third.cancel()


async def test_one_agents_streams_leave_places_for_the_others_and_for_its_own_calls(tmp_path: Path) -> None:
    async with world(tmp_path, per_actor=2) as made, watched(made, tmp_path, streams=3) as gateway:
        made.agent("scribe")
        running = [gateway.watch(), gateway.watch()]
        for call in running:
            await opened(call)

        refused = await failure(gateway.watch())
        other = gateway.watch("scribe")
        await opened(other)
        issued = await gateway.running.stub.IssueCredentials(issue_message(), metadata=as_agent())

        assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert issued.grant.name
        for call in (*running, other):
            call.cancel()


async def test_a_stop_tells_every_stream_to_come_back_and_does_not_wait_for_them(gateway: Watched) -> None:
    call = gateway.watch()
    await opened(call)

    stopping = asyncio.create_task(gateway.running.server.stop(timedelta(minutes=5)))
    told = await failure(call)

    assert (told.code, told.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_ENDED")
    await stopping


async def test_a_stream_that_always_has_something_to_say_is_told_to_come_back_too(gateway: Watched) -> None:
    for number in range(50_000):
        gateway.spring.events.put_nowait(f"event {number}")
    call = gateway.watch()
    await opened(call)

    stopping = asyncio.create_task(gateway.running.server.stop(timedelta(minutes=5)))
    told = await failure(call)

    assert told.info.reason == "STREAM_ENDED"
    assert gateway.spring.events.qsize() > 0
    await stopping


async def test_streams_move_over_when_the_certificates_change(tmp_path: Path) -> None:
    often = timedelta(seconds=0.05)
    async with world(tmp_path) as made, watched(made, tmp_path, look_every=often) as gateway:
        call = gateway.watch()
        await opened(call)

        gateway.running.authority.issue_server(["localhost", "127.0.0.1"])
        told = await failure(call)
        again = gateway.watch()
        await opened(again)

        assert (told.code, told.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_ENDED")
        again.cancel()


async def test_a_stream_does_not_outlive_what_let_it_in(tmp_path: Path) -> None:
    async with world(tmp_path) as made, watched(made, tmp_path, stream_age=timedelta(seconds=0.2)) as gateway:
        told = await failure(gateway.watch())

        assert (told.code, told.info.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_ENDED")
        await gateway.spring.closed.wait()


async def test_g6_whoever_does_not_read_its_stream_loses_it_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    short = timedelta(seconds=0.3)
    async with (
        world(tmp_path) as made,
        watched(made, tmp_path, streams=1, taken_within=short) as gateway,
        raw_connection(gateway.running) as connection,
    ):
        await connection.settle(initial_window_size=0)
        number = connection.open_stream(headers(WATCH))
        connection.h2.send_data(number, framed_message(b""), end_stream=True)
        await connection.flush()
        await gateway.spring.opened.wait()
        for _ in range(64):
            gateway.spring.events.put_nowait("x" * 8192)

        await gateway.spring.closed.wait()
        while (begun := await first_of(gateway.watch())) is grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass

        assert begun == "first"
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_method_behind_another_door_does_not_take_this_ones_callers(gateway: Watched) -> None:
    method: Any = gateway.running.channel.unary_stream("/remit.v1.AuditService/NoSuchStream")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        [_ async for _ in method(b"", metadata=as_agent())]

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
