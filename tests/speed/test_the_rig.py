"""The rig of the benchmarks where it could deceive: what counts as an answer, from when time counts, what is judged."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from benchmarks.rig.accounting import Run, Window
from benchmarks.rig.load import Callers, Plan
from benchmarks.rig.verdicts import Aim, Verdict, late, over, side_by_side

Served = Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Any]


@asynccontextmanager
async def callers(serve: Served, folder: Path, tokens: int = 3) -> AsyncIterator[Callers]:
    """Gives the rig's callers of a real server that answers as `serve` does."""
    server = grpc.aio.server()
    echo: Any = grpc.unary_unary_rpc_method_handler(serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": echo}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    file = folder / "tokens"
    file.write_text("\n".join(f"token-{number}" for number in range(tokens)), encoding="ascii")
    plan = Plan("echo", f"127.0.0.1:{port}", "", "", "", tokens=str(file), pid=0, windows=1)
    async with grpc.aio.insecure_channel(plan.address) as channel:
        yield Callers(plan, [channel], [])
    await server.stop(None)


def run_of(*cpu_each: float, latencies: tuple[float, ...] = ()) -> Run:
    return Run(tuple(Window(10, 0, each / 100, 1.0) for each in cpu_each), latencies, ())


async def test_only_ok_counts_as_an_answer(tmp_path: Path) -> None:
    asked = 0

    async def refuse_every_other(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        nonlocal asked
        asked += 1
        if asked % 2:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return request

    async with callers(refuse_every_other, tmp_path) as rig:
        for _ in range(10):
            await rig.ask(time.monotonic())

    assert (rig.tally.answers, len(rig.tally.latencies)) == (5, 5)
    assert rig.tally.failures == {"RESOURCE_EXHAUSTED: full": 5}


async def test_a_call_takes_as_long_as_it_is_late_as_well(tmp_path: Path) -> None:
    async def answer(request: bytes, _: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        return request

    async with callers(answer, tmp_path) as rig:
        await rig.ask(time.monotonic() - 30)

    assert rig.tally.latencies[0] >= 30


async def test_calls_fall_due_whether_or_not_those_before_are_answered(tmp_path: Path) -> None:
    all_there = asyncio.Event()
    there = 0

    async def hold(request: bytes, _: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        nonlocal there
        there += 1
        if there == 20:
            all_there.set()
        await all_there.wait()
        return request

    async with callers(hold, tmp_path) as rig:
        calling = asyncio.create_task(rig.opened(200))
        await all_there.wait()
        answered_before = rig.tally.answers
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)

    assert answered_before == 0


async def test_tokens_go_in_turn_and_no_two_requests_are_the_same(tmp_path: Path) -> None:
    seen = []

    async def note(request: bytes, _: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        seen.append(request)
        return request

    async with callers(note, tmp_path) as rig:
        for _ in range(6):
            await rig.ask(time.monotonic())

    assert [next(number for number in range(3) if b"token-%d" % number in one) for one in seen] == [0, 1, 2, 0, 1, 2]
    assert len(set(seen)) == 6


def test_an_aim_is_reached_by_the_median_and_not_by_a_lucky_window() -> None:
    aim = Aim("cost", 1.1)

    good, lucky, unmeasured = (Verdict(aim, values).row() for values in ((1.0, 1.1, 1.4), (1.0, 1.2, 1.2), ()))

    assert good.endswith("| 1.00 | 1.10 | 1.40 | reached |")
    assert lucky.endswith("| **not reached** (but at best) |")
    assert unmeasured.endswith("| nan | nan | nan | **not reached** |")


def test_an_aim_that_asks_for_more_is_turned_round() -> None:
    verdict = Verdict(Aim("previews", 1_000, at_least=True), (900.0, 950.0, 1_000.0))

    assert (verdict.best, verdict.worst) == (1_000.0, 900.0)
    assert "**not reached**" in verdict.row()


def test_a_ratio_takes_least_over_least_and_the_sum_of_what_is_below() -> None:
    assert over((4.0, 8.0, 6.0), (1.0, 2.0, 1.5), (1.0, 1.0, 1.0)) == (2.0, 2.4, 8 / 3)
    assert over((4.0,), ()) == ()


def test_runs_side_by_side_are_compared_with_their_neighbours() -> None:
    slow_machine, quick_machine = run_of(2.0, 2.0), run_of(1.0, 1.0)

    ratios = side_by_side([slow_machine, quick_machine], [run_of(2.2, 2.2), run_of(1.1, 1.1)])

    assert ratios == pytest.approx((1.1, 1.1))


def test_a_late_part_of_a_run_is_not_lost_among_the_others() -> None:
    run = run_of(1.0, 1.0, latencies=(0.031,) * 100 + (0.131,) * 100)

    assert late(run, 99, 0.030) == pytest.approx((1.0, 101.0))
