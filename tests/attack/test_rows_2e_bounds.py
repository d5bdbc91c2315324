"""G6 and G7, what is bounded beside calls and streams: connections, and one user's part of an agent's calls."""

from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from tests.attack.raw_http2 import raw_connection, raw_socket
from tests.attack.test_rows_2e_places import outcome, request_id
from tests.fakes import world
from tests.transport.gateway_server import Failure, Served, as_agent, failure_of, issue_message, served


async def test_g6_connections_beyond_the_bound_are_closed_as_they_come_and_who_is_there_goes_on(tmp_path: Path) -> None:
    bound = 4
    async with world(tmp_path, per_minute=1_000_000) as made, served(made, tmp_path, connections=bound) as running:
        before = await outcome(running.stub, 1)
        async with AsyncExitStack() as held:
            for _ in range(bound - 1):
                await held.enter_async_context(raw_connection(running))
            for _ in range(10):
                with pytest.raises(OSError):  # noqa: PT011 - reset, or closed within the handshake
                    await held.enter_async_context(raw_socket(running))
            meanwhile = await outcome(running.stub, 2)

        while not await is_taken(running):
            pass

        assert before is meanwhile is grpc.StatusCode.OK


async def is_taken(running: Served) -> bool:
    """Says whether one more connection is taken."""
    try:
        async with raw_connection(running) as connection:
            return not connection.gone
    except OSError:
        return False


async def test_g7_one_users_spent_minute_is_not_that_of_the_agents_other_users_nor_of_other_agents(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, per_subject=3) as made, served(made, tmp_path) as running:
        made.user("bob", made.copilot)
        made.user("alice", made.agent("scribe"))

        noisy = [await outcome(running.stub, number) for number in range(5)]
        others = [await asked_for(running, "bob@copilot", 7), await asked_for(running, "alice@scribe", 8, "scribe")]
        failure = await told(running, 9)
        made.clock.advance(seconds=20)
        later = await outcome(running.stub, 10)

        assert noisy == [grpc.StatusCode.OK] * 3 + [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
        assert others == [grpc.StatusCode.OK] * 2
        assert (failure.info.reason, later) == ("RATE_LIMITED", grpc.StatusCode.OK)
        assert len(made.sts.orders) == 6


async def asked_for(running: Served, token: str, number: int, agent: str = "copilot") -> grpc.StatusCode:
    """Asks with a user's token and returns how it ended."""
    message = issue_message(request_id=request_id(number), subject_token=token)
    try:
        await running.stub.IssueCredentials(message, metadata=as_agent(agent))
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def told(running: Served, number: int) -> Failure:
    """Asks as alice's copilot, and returns how it failed."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.stub.IssueCredentials(issue_message(request_id=request_id(number)), metadata=as_agent())
    return failure_of(raised.value)
