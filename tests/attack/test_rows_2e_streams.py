"""G6, for streams: watchers in masses, watchers that do not read, watchers whom nobody knows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from tests.attack.raw_http2 import framed_message, headers, raw_connection
from tests.attack.test_rows_2e_places import CLEAN, EXTENDED, outcome
from tests.fakes import World, world
from tests.transport.gateway_server import Served, as_agent, issue_message, served

from remit.v1.credential_service_pb2 import WatchTaskRequest
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub

WATCH = "/remit.v1.CredentialService/WatchTask"
STREAMS = 10_000 if EXTENDED else 400
OF_ONE, OF_ALL = 16, 24


@asynccontextmanager
async def crowded(folder: Path, **bounds: Any) -> AsyncIterator[tuple[World, Served]]:
    """Serves with few places for streams, and many calls a minute."""
    async with world(folder, per_minute=1_000_000, per_actor=OF_ONE) as made:
        made.user("alice", made.agent("scribe"))
        async with served(made, folder, streams=OF_ALL, concurrent_calls=64, **bounds) as running:
            yield made, running


async def task_of(running: Served, agent: str, number: int) -> str:
    """Starts a task of an agent's and returns its id."""
    message = issue_message(request_id=f"4c1b7d52-3f0e-4a4e-9a3a-{number:012d}", subject_token=f"alice@{agent}")
    return (await running.stub.IssueCredentials(message, metadata=as_agent(agent))).grant.task_id


async def begun(call: Any) -> grpc.StatusCode:
    """Returns OK for a stream that is open, else how it was refused."""
    try:
        await anext(aiter(call))
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_g6_streams_in_masses_hold_their_agents_places_and_nobody_elses(tmp_path: Path) -> None:
    async with crowded(tmp_path) as (made, running):
        task_id, other = await task_of(running, "copilot", 1), await task_of(running, "scribe", 2)
        request, own_pool = WatchTaskRequest(task_id=task_id), (("grpc.use_local_subchannel_pool", 1),)
        credentials = grpc.ssl_channel_credentials(running.roots)
        channels = [grpc.aio.secure_channel(running.address, credentials, own_pool) for _ in range(4)]
        calls = [
            CredentialServiceStub(channels[number % 4]).WatchTask(request, metadata=as_agent())
            for number in range(STREAMS)
        ]

        codes = Counter(await asyncio.gather(*(begun(call) for call in calls)))
        watched = running.stub.WatchTask(WatchTaskRequest(task_id=other), metadata=as_agent("scribe"))
        others = await begun(watched)
        honest = [await outcome(running.stub, 3), await outcome(running.stub, 4, "scribe")]
        for call in (*calls, watched):
            call.cancel()
        while await begun(again := running.stub.WatchTask(request, metadata=as_agent())) is not grpc.StatusCode.OK:
            pass
        again.cancel()
        for channel in channels:
            await channel.close()

        assert codes[grpc.StatusCode.OK] == OF_ONE
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
        assert codes.keys() - CLEAN == {grpc.StatusCode.OK}
        assert others is grpc.StatusCode.OK
        assert honest == [grpc.StatusCode.OK] * 2
        assert (await made.trail()).count("lease_taken") == 0


async def test_g6_whoever_is_not_known_holds_no_place_for_a_stream(tmp_path: Path) -> None:
    async with crowded(tmp_path) as (_, running):
        task_id = await task_of(running, "copilot", 1)
        request = WatchTaskRequest(task_id=task_id)
        strangers = [running.stub.WatchTask(request, metadata=as_agent("stranger")) for _ in range(STREAMS // 4)]

        codes = Counter(await asyncio.gather(*(begun(call) for call in strangers)))
        honest = running.stub.WatchTask(request, metadata=as_agent())

        assert codes.keys() - CLEAN <= {grpc.StatusCode.UNAUTHENTICATED}
        assert await begun(honest) is grpc.StatusCode.OK
        honest.cancel()


async def test_g6_a_watcher_that_reads_nothing_keeps_its_place_no_longer_than_any_other(tmp_path: Path) -> None:
    short = timedelta(seconds=0.5)
    async with (
        crowded(tmp_path, stream_age=short, taken_within=short) as (made, running),
        raw_connection(running) as connection,
    ):
        task_id = await task_of(running, "copilot", 1)
        await connection.settle(initial_window_size=0)
        for _ in range(OF_ONE):
            number = connection.open_stream(headers(WATCH))
            message = WatchTaskRequest(task_id=task_id).SerializeToString()
            connection.h2.send_data(number, framed_message(message), end_stream=True)
        await connection.flush()
        while not made.watch.watching.is_watched:  # noqa: ASYNC110 - the streams say nothing to whoever reads nothing
            await asyncio.sleep(0.01)

        while await begun(call := running.stub.WatchTask(WatchTaskRequest(task_id=task_id), metadata=as_agent())) is (
            grpc.StatusCode.RESOURCE_EXHAUSTED
        ):
            pass

        call.cancel()
        assert await outcome(running.stub, 2) is grpc.StatusCode.OK
