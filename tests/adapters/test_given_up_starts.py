"""Starts of child processes that are given up: no loop waits for them for ever, and no process outlives them."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import uvloop

from remit_server.adapters.child_processes import process_of
from remit_server.adapters.rego.process import RegoProcess

READS_ON: Final = (sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()")
TURNS: Final = (0, 2, 4, 6)  # of a loop, of which a start takes five


async def a_worker() -> None:
    worker = await RegoProcess.spawned(*READS_ON)
    await worker.close()


async def a_process() -> None:
    process = await process_of(READS_ON)
    process.kill()
    await process.communicate()


def children() -> set[str]:
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


# uvloop does not wait: it complains when it is closed, of the process that was killed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of pipes that asyncio never connected
@pytest.mark.parametrize("start", [a_worker, a_process])
def test_a_loop_of_asyncio_that_ends_during_a_start_ends(start: Callable[[], Awaitable[None]]) -> None:
    async def ends_after(turns: int) -> None:
        kept.append(asyncio.ensure_future(start()))
        for _ in range(turns):
            await asyncio.sleep(0)

    before, kept = children(), list[asyncio.Future[None]]()
    for turns in TURNS:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(ends_after(turns))
    gc.collect()

    assert all(one.done() for one in kept)
    assert children() <= before


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("start", [a_worker, a_process])
def test_a_start_that_is_cancelled_leaves_no_process(
    start: Callable[[], Awaitable[None]], loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def cancelled_after(turns: int) -> None:
        starting = asyncio.ensure_future(start())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert children() <= before

    before = children()
    with asyncio.Runner(loop_factory=loop) as runner:
        for turns in TURNS[:3]:
            runner.run(cancelled_after(turns))
