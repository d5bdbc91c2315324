"""Client streams under attack: slow, endless, tiny, huge, garbled, abandoned, too many, and from who may not send."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.transport.gateway_server import Failure, as_agent, failure_of
from tests.transport.operator_server import as_operator
from tests.transport.policy_server import Published, archive, policy_server, published_pieces

from remit.v1 import policy_service_pb2 as messages
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.operator_client import CallFailed, Connection, OperatorClient
from remit_server.transport.grpc.uploads import Uploads

METHOD = "/remit.v1.PolicyService/PublishRevision"
SOON = timedelta(seconds=0.3)
LONG = timedelta(seconds=60)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Published]:
    async with policy_server(tmp_path) as running:
        running.world.operator("ada", running.world.policy.answers["olga"])
        running.world.operator("ben", running.world.policy.answers["olga"])
        yield running


async def failure(call: Awaitable[Any]) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return failure_of(raised.value)


async def rule(call: Awaitable[Any]) -> tuple[str, str]:
    """Returns the reason of a call that fails, and what its message says."""
    failed = await failure(call)
    return failed.info.reason, failed.message


async def told(house: Published, requests: Iterator[messages.PublishRevisionRequest]) -> tuple[str, str]:
    """Returns how an upload by our own client is refused, which hears of it while it still sends."""

    def upload() -> tuple[str, str]:
        with OperatorClient(Connection(house.address, house.ca_file, token=lambda: Secret("ops-olga"))) as client:
            with pytest.raises(CallFailed) as failed:
                client.upload(client.policies.PublishRevision, requests, LONG)
            return failed.value.reason, failed.value.message

    return await asyncio.to_thread(upload)


async def endless(first: bytes = b"x") -> AsyncIterator[messages.PublishRevisionRequest]:
    """Sends one piece and then nothing, and never ends."""
    yield messages.PublishRevisionRequest(chunk=first)
    await asyncio.Event().wait()


async def raw(house: Published, *pieces: bytes) -> tuple[str, str]:
    """Returns how the service refuses messages that no client of ours would send."""

    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    call: Any = house.channel.stream_unary(METHOD)
    return await rule(call(sent(), metadata=as_operator("olga")))


async def invalid_calls(house: Published) -> list[tuple[bool, str, str]]:
    records = [json.loads(one.body_text) for one in await house.world.inner.events() if one.kind == "operator_called"]
    return [(one["allowed"], one["reason"], one["about"]) for one in records]


# --- who may not send ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "ACTOR_REJECTED"),
        ((("authorization", "Bearer nobody"),), "ACTOR_REJECTED"),
        (as_agent(), "NOT_AUTHORIZED"),
        (as_operator("eve"), "NOT_AUTHORIZED"),
    ],
)
async def test_whoever_may_not_publish_is_refused_before_the_bundle_is_read(
    house: Published, metadata: Any, reason: str
) -> None:
    call = house.stub.PublishRevision(endless(), metadata=metadata)

    assert (await failure(call)).info.reason == reason


async def test_a_caller_over_its_budget_is_refused_before_the_bundle_is_read(tmp_path: Path) -> None:
    async with policy_server(tmp_path, per_minute=1) as house:
        await house.stub.ListRevisions(messages.ListRevisionsRequest(), metadata=as_operator("olga"))

        refused = await failure(house.stub.PublishRevision(endless(), metadata=as_operator("olga")))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


# --- what is no bundle -----------------------------------------------------------------------------------------------


async def test_what_breaks_a_rule_of_the_proto_is_refused_with_it(house: Published) -> None:
    piece = messages.PublishRevisionRequest(chunk=b"x").SerializeToString()

    assert await raw(house) == ("INVALID_REQUEST", "the request: holds no bundle")
    assert await raw(house, b"\xff\xff\xff") == ("INVALID_REQUEST", "the request: is not a message of this method")
    assert await raw(house, piece, b"") == ("INVALID_REQUEST", "chunk: must be at least 1 bytes")
    unknown = piece + b"\x10\x01"  # field 2, which the proto does not have
    assert await raw(house, piece, unknown) == ("INVALID_REQUEST", "2: is not a field of this message")
    large = messages.PublishRevisionRequest(chunk=b"x" * 32769).SerializeToString()
    assert await raw(house, large) == ("INVALID_REQUEST", "chunk: must be at most 32768 bytes")
    told = [(True, ""), (False, "INVALID_REQUEST")] * 5
    assert [call[:2] for call in await invalid_calls(house)] == told


async def test_two_bundles_in_one_stream_are_none(house: Published) -> None:
    refused = await failure(
        house.stub.PublishRevision(published_pieces(archive() + archive()), metadata=as_operator("olga"))
    )

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REVISION_REFUSED")
    assert await house.revisions.listed(before=None, limit=1) == []


async def test_more_than_64_mib_are_not_taken(house: Published) -> None:
    pieces = (messages.PublishRevisionRequest(chunk=bytes(32768)) for _ in range(65 * 32))

    assert await told(house, pieces) == ("INVALID_REQUEST", "chunk: takes the archive over 67108864 bytes")


async def test_so_many_tiny_pieces_are_not_taken(tmp_path: Path) -> None:
    uploads = Uploads(each_within=LONG, most_messages=1000)
    pieces = (messages.PublishRevisionRequest(chunk=b"x") for _ in range(1100))

    async with policy_server(tmp_path, uploads=uploads) as house:
        answer = await told(house, pieces)

    assert answer == ("INVALID_REQUEST", "the request: must come in at most 1000 messages: send larger pieces")


# --- what does not come ----------------------------------------------------------------------------------------------


async def test_a_stream_that_stalls_is_ended(tmp_path: Path) -> None:
    async with policy_server(tmp_path, uploads=Uploads(each_within=SOON)) as house:
        answer = await rule(house.stub.PublishRevision(endless(), metadata=as_operator("olga")))
        found = await invalid_calls(house)

    assert answer == ("INVALID_REQUEST", "the request: stalled for 0.3 seconds")
    assert found[-1] == (False, "INVALID_REQUEST", "the request: stalled for 0.3 seconds")


async def test_a_stream_that_drips_is_ended(tmp_path: Path) -> None:
    def drips() -> Iterator[messages.PublishRevisionRequest]:
        while True:
            yield messages.PublishRevisionRequest(chunk=b"x")
            time.sleep(0.02)

    async with policy_server(tmp_path, uploads=Uploads(each_within=LONG, within=SOON)) as house:
        answer = await told(house, drips())

    assert answer == ("INVALID_REQUEST", "the request: did not come whole within 0.3 seconds")


# --- places ----------------------------------------------------------------------------------------------------------


async def sending(house: Published, who: str) -> "asyncio.Task[Any]":
    """Begins an upload that does not go on, and returns it once it is being read."""

    async def sent() -> AsyncIterator[messages.PublishRevisionRequest]:
        yield messages.PublishRevisionRequest(chunk=b"x")
        await asyncio.Event().wait()

    before = len(await invalid_calls(house))
    call = house.stub.PublishRevision(sent(), metadata=as_operator(who))
    task: asyncio.Task[Any] = asyncio.ensure_future(failure(call))
    while len(await invalid_calls(house)) == before:  # noqa: ASYNC110 - on record before it is read: nothing else tells
        await asyncio.sleep(0.01)
    task.add_done_callback(lambda _: call.cancel())
    return task


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_two_uploads_run_at_a_time_and_one_of_a_caller(house: Published) -> None:
    first = await sending(house, "olga")
    own = await failure(house.stub.PublishRevision(endless(), metadata=as_operator("olga")))
    second = await sending(house, "ada")
    third = await failure(house.stub.PublishRevision(endless(), metadata=as_operator("ben")))
    await ended(first, second)

    assert {own.code, third.code} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert own.message == "another upload of yours is being received or checked: wait until it is over"
    assert third.message.startswith("2 uploads run in this gateway process")


async def test_whoever_hangs_up_in_the_middle_gives_the_place_back(house: Published) -> None:
    await ended(await sending(house, "olga"), await sending(house, "ada"))

    async with asyncio.timeout(30):
        while await refused_for_now(house):  # noqa: ASYNC110 - nothing tells that the gateway has heard of it
            await asyncio.sleep(0.01)


async def test_whoever_hangs_up_has_not_said_everything(house: Published) -> None:
    await ended(await sending(house, "olga"))

    async with asyncio.timeout(30):
        # The next call of hers is let in once the first one is over, and on record after all that came of that.
        while await refused_for_now(house):  # noqa: ASYNC110 - nothing tells that the gateway has heard of it
            await asyncio.sleep(0.01)

    kinds = [event.kind for event in await house.world.inner.events()]
    assert "revision_refused" not in kinds


async def refused_for_now(house: Published) -> bool:
    """Says whether there is no place for an upload of olga's."""
    try:
        await house.stub.PublishRevision(published_pieces(archive()), metadata=as_operator("olga"))
    except grpc.aio.AioRpcError as busy:
        assert busy.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 - only while it hears of the end
        return True
    return False


async def test_an_upload_that_stalls_keeps_nobody_from_other_calls(house: Published) -> None:
    first, second = await sending(house, "olga"), await sending(house, "ada")

    answer = await house.stub.ListRevisions(messages.ListRevisionsRequest(), metadata=as_operator("olga"))
    await ended(first, second)

    assert list(answer.revisions) == []
