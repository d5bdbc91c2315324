"""What a team of Rego workers keeps: the questions that somebody waits for, and no others."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator

import pytest

from remit_server.adapters.rego import wire
from remit_server.adapters.rego.pipes import Question, WorkerLost
from remit_server.adapters.rego.process import Program
from remit_server.adapters.rego.team import RegoTeam, TeamBusy

PROGRAM = Program((), "{}", 512 << 20, 60.0)


@contextlib.asynccontextmanager
async def closing(team: RegoTeam) -> AsyncIterator[None]:
    """Closes the team however the block ends: asyncio waits for ever for a process whose start was cancelled."""
    try:
        yield
    finally:
        await team.close()


async def kept(text: str) -> int:
    """Counts the questions in memory that ask this."""
    await asyncio.sleep(0)  # the loop still holds what woke this task up
    gc.collect()
    return sum(isinstance(one, Question) and one.frame.endswith(text.encode()) for one in gc.get_objects())


async def test_a_question_that_waited_too_long_is_not_kept() -> None:
    team = RegoTeam(PROGRAM, workers=1, spares=0, most_waiting=4)  # not started: as when no worker comes up

    for _ in range(20):
        with pytest.raises(TeamBusy):
            await team.ask(wire.QUERY, "waited too long", seconds=1.0, wait_seconds=0.001)

    assert await kept("waited too long") == 0


async def test_a_question_whose_caller_went_away_is_not_kept() -> None:
    team = RegoTeam(PROGRAM, workers=1, spares=0, most_waiting=4)

    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await team.ask(wire.QUERY, "went away", seconds=1.0, wait_seconds=3600.0)

    assert await kept("went away") == 0


async def test_a_lost_worker_hands_back_only_what_somebody_waits_for_in_its_order() -> None:
    team = RegoTeam(PROGRAM, workers=1, spares=0, most_waiting=16)
    await team.start()
    async with closing(team):
        (pid,) = team.pids
        os.kill(pid, signal.SIGSTOP)
        asked = [asyncio.create_task(team.ask(wire.QUERY, str(n), seconds=60.0, wait_seconds=60.0)) for n in range(12)]
        await asyncio.sleep(0)
        for gone in (asked[2], asked[10]):
            gone.cancel()
        await asyncio.sleep(0)

        os.kill(pid, signal.SIGKILL)
        await asyncio.wait(asked[:1])
        handed_back = [question.frame[wire.HEADER.size :] for question in team._waiting]
        answers = await asyncio.gather(*asked, return_exceptions=True)

        assert handed_back == [b"1", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"11"]
        assert isinstance(answers[0], WorkerLost)
        assert [answer for answer in answers if isinstance(answer, str)] == [frame.decode() for frame in handed_back]


async def until_gone(pid: int) -> None:
    """Returns once the process is reaped, which its parent does when it has heard of the end."""
    while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC110, ASYNC240, PTH110 - the system tells nobody
        await asyncio.sleep(0.01)


async def answered(team: RegoTeam, text: str) -> str | None:
    """Asks again where a worker was lost over the question, as callers do."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(WorkerLost):
                return await team.ask(wire.QUERY, text, seconds=60.0, wait_seconds=60.0)
            await asyncio.sleep(0.01)


async def test_a_spare_that_died_while_nobody_asked_it_is_replaced_when_its_turn_comes() -> None:
    team = RegoTeam(PROGRAM, workers=1, spares=1, most_waiting=16)
    await team.start()
    async with closing(team):
        dead = {each.pid for each in (*team._warm, *team._working)}
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
            await until_gone(pid)

        answers = [await answered(team, str(number)) for number in range(3)]

        assert answers == ["0", "1", "2"]
        assert team.pids.isdisjoint(dead)
