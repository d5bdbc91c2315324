"""Calls and connections in masses (8-threats.md G6, G7): the gateway answers or says that it is full.

Every run asks some hundred times over a few connections; the extended one ten thousand times, with a thousand sockets.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.fake_sts import answering_late
from tests.faults.rig.asking import Answer, until
from tests.faults.rig.configuration import note_ceilings
from tests.faults.rig.masses import Peak, stubs_of
from tests.faults.rig.sinks import token_of
from tests.faults.rig.slow_sockets import Slow
from tests.faults.rig.small_stage import SmallStage, small_stage

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
EXTENDED = os.environ.get("REMIT_EXTENDED") == "1"
CALLS, CHANNELS, SOCKETS = (10_000, 32, 1_000) if EXTENDED else (600, 4, 100)
PLACES = 128  # of one agent
MOST_CONNECTIONS = SOCKETS + 64
MB = 1 << 20
A_CALL = 24 << 10  # what one that waits may take at most
A_CONNECTION = 160 << 10
BESIDE = 64 * MB
FULL = "RESOURCE_EXHAUSTED OVERLOADED"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SmallStage]:
    limits = {"connections": MOST_CONNECTIONS, "concurrent_calls_per_actor": PLACES}
    async with small_stage(tmp_path_factory.mktemp("masses"), limits=limits, sts_seconds=15.0) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def stage(running: SmallStage) -> SmallStage:
    note_ceilings()
    await running.until_ok()
    return running


async def test_calls_in_masses_are_answered_or_refused_and_no_other_agent_hears_of_it(stage: SmallStage) -> None:
    token, other = token_of(stage.issuers["issuer"]), token_of(stage.issuers["issuer"])
    peak, calm = Peak(stage), []
    stage.sts.plan(*[answering_late] * PLACES)  # however fast the gateway is, its places are taken

    async def of_the_flood(stub: Any) -> Answer:
        answer = await stage.ask(stub=stub, token=token)
        if answer.short == FULL:
            stage.sts.released.set()
        return answer

    async with stubs_of(stage, CHANNELS) as stubs, stubs_of(stage, 1, "crawler") as (quiet,), peak.watched():
        flood = asyncio.gather(*(of_the_flood(stubs[n % CHANNELS]) for n in range(CALLS)))
        while not flood.done():
            calm.append((await stage.ask(stub=quiet, token=other)).short)
        heard = Counter(answer.short for answer in await flood)
    after = [(await stage.ask()).short for _ in range(5)]

    assert heard.keys() == {"OK", FULL}, heard
    assert set(calm) == {"OK"}, Counter(calm)
    assert after == ["OK"] * 5
    assert peak.growth < BESIDE + CALLS * A_CALL
    assert await stage.unrecorded() == []
    assert len(stage.sts.requests) == sum(answer.short == "OK" for answer in stage.answers)


def open_files(stage: SmallStage) -> int:
    """Returns how many files and connections the gateway holds."""
    return len(list(Path(f"/proc/{stage.gateway.process.pid}/fd").iterdir()))


async def test_slow_sockets_in_masses_hurt_nobody_and_are_forgotten(stage: SmallStage) -> None:
    before, peak, slow = open_files(stage), Peak(stage), Slow(stage)

    async with peak.watched():
        for number in range(SOCKETS):
            await slow.kinds[number % len(slow.kinds)](number)
        held = open_files(stage) - before
        meanwhile = [(await stage.ask()).short for _ in range(10)]
        async with stubs_of(stage, 1) as (fresh,):
            newcomer = (await stage.ask(stub=fresh)).short
        await slow.close()
    after = (await stage.ask()).short
    await until(lambda: _few(stage, before))

    assert held > SOCKETS // 2
    assert (meanwhile, newcomer, after) == (["OK"] * 10, "OK", "OK")
    assert peak.growth < BESIDE + SOCKETS * A_CONNECTION


async def _few(stage: SmallStage, before: int) -> bool:
    """Says whether the gateway holds about as many files as before."""
    return open_files(stage) <= before + 8


async def test_connections_over_the_bound_are_hung_up_on_and_those_within_it_go_on(stage: SmallStage) -> None:
    slow = Slow(stage)
    for number in range(MOST_CONNECTIONS + 100):
        await slow.plain(number)

    await until(lambda: _at_most(slow, MOST_CONNECTIONS - 1))  # the agent has one
    meanwhile = (await stage.ask()).short
    await slow.close()
    async with stubs_of(stage, 1, "crawler") as (fresh,):
        after = (await stage.ask(stub=fresh)).short

    assert (meanwhile, after) == ("OK", "OK")


async def _at_most(slow: Slow, count: int) -> bool:
    """Says whether all but so many sockets were hung up on."""
    return sum(not reader.at_eof() for reader, _ in slow.held) <= count
