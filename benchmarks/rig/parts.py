"""The parts of `benchmarks.gateway`: each measures something of the gateway and leaves verdicts."""

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from benchmarks.rig import ledgers
from benchmarks.rig.accounting import Run, calibration, percentile, resident_bytes
from benchmarks.rig.stage import Gateway, Stage, ran
from benchmarks.rig.verdicts import Aim, Verdict, late, of_cpu, over, side_by_side

from remit_sandbox.configuration import sample_policies
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.system_clock import SystemClock

STS_DELAY = 0.030
COLD_A_SECOND = 800  # more than are asked for, warming up and all
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: windows of a run, pairs of runs side by side, live grants, and sizes, the least first."""

    windows: int
    pairs: int
    live: int
    entitlements: tuple[int, ...]
    stored: tuple[int, ...]

    def with_windows(self, windows: int) -> "Scale":
        """Returns the same with other runs."""
        return replace(self, windows=windows)


@dataclass(slots=True)
class Bench:
    """Where parts measure, and what they found."""

    stage: Stage
    scale: Scale
    core: int
    verdicts: list[Verdict] = field(default_factory=list)

    async def load(self, what: str, gateway: Gateway, **more: object) -> Run:
        """Puts a gateway under load for as many windows as are asked for."""
        more.setdefault("callers", 16)
        return await self.stage.load(what, gateway, self.scale.windows, **more)

    def judge(self, aim: Aim, values: tuple[float, ...]) -> None:
        """Keeps what was seen of a figure."""
        self.verdicts.append(Verdict(aim, values))

    def summary(self) -> list[str]:
        """Returns the table of everything that has an aim; it names nothing that was not measured."""
        head = ["", "| figure | aim | best | median | worst | |", "|---|---|---|---|---|---|"]
        return [*head, *(verdict.row() for verdict in self.verdicts)]


async def cpu(bench: Bench) -> None:
    """Measures issuances and previews beside one call of boto3, our own call to STS and a bare echo."""
    table("on one core, at saturation", "a second", "CPU ms each")
    files = (bench.stage.sts_url, str(bench.stage.authority.bundle_path), str(bench.scale.windows))
    boto3, ours = [await ran("sts_calls", which, *files, core=bench.core) for which in ("boto3", "ours")]
    row("boto3 `assume_role`, one after the other", boto3)
    row("our STS adapter, 16 at a time", ours)
    windows, bundle = str(bench.scale.windows), str(sample_policies())
    asked = await ran("floors", "policy", bundle, windows, core=bench.core)
    row("one question to the default policy, worker and pipe, 16 at a time", asked)
    committed = await ran("floors", "commits", str(bench.stage.folder), windows, core=bench.core)
    row("one durable commit of a bare SQLite file", committed)
    async with bench.stage.gateway(core=bench.core) as gateway:
        issued = await bench.load("issue", gateway)
        row("issuances, 0 ms STS, 16 callers", issued)
        previewed = await bench.load("preview", gateway)
        row("previews, 16 callers", previewed)
        cold = await bench.load("issue", gateway, tokens=bench.stage.cold_tokens(bench.scale.windows * COLD_A_SECOND))
        row("issuances, every token seen for the first time (hit rate 0 %)", cold)
    async with bench.stage.echo(issued.answer_bytes, core=bench.core) as echo:
        echoed = await bench.load("echo", echo)
    row(f"bare grpc.aio echo, {issued.answer_bytes} bytes back", echoed)
    each, floors = of_cpu(issued), (of_cpu(echoed), of_cpu(ours))
    bench.judge(Aim("CPU of an issuance / boto3 `assume_role`", 0.5), over(each, of_cpu(boto3)))
    bench.judge(Aim("the same, what we would like", 0.35), over(each, of_cpu(boto3)))
    bench.judge(Aim("CPU of an issuance / (bare echo + our STS call)", 2.0), over(each, *floors))
    every = (*floors, of_cpu(asked), of_cpu(committed), of_cpu(committed))
    floor = tuple(sum(which(each) for each in every) for which in (min, statistics.median, max))
    bench.judge(Aim("the floors alone (echo, policy, two commits, STS) / boto3", 0.5), over(floor, of_cpu(boto3)))
    a_second = tuple(1000 / each for each in of_cpu(previewed))
    bench.judge(Aim("previews a second of one core's CPU", 1_000, at_least=True), a_second)


async def own_time(bench: Bench) -> None:
    """Measures open loops at half and at nine tenths of what saturation gives."""
    async with bench.stage.gateway(core=bench.core) as gateway:
        for delay in (0.0, STS_DELAY):
            await bench.stage.sts.tell(str(delay))
            saturated = await bench.load("issue", gateway, callers=64 if delay else 16)
            table(f"own time, {delay * 1000:.0f} ms STS, Poisson arrivals", "asked/s", "p50 ms", "p99 ms", "not OK")
            for share, bound in ((0.5, 10.0), (0.9, 50.0)):
                rate = statistics.median(saturated.rates) * share
                run = await bench.load("issue", gateway, rate=rate)
                own = [(percentile(run.latencies, percent) - delay) * 1000 for percent in (50, 99)]
                failed = sum(window.failures for window in run.windows)
                name = f"{share:.0%} of saturation"
                print(f"| {name} | {rate:.0f} | {own[0]:.1f} | {own[1]:.1f} | {failed} |", flush=True)
                tell_failures(run)
                aim = Aim(f"p99 of the own time at {name}, {delay * 1000:.0f} ms STS", bound, " ms")
                bench.judge(aim, late(run, 99, delay))
                bench.judge(Aim(f"calls not answered at {name}, {delay * 1000:.0f} ms STS", 0), (float(failed),))
        await bench.stage.sts.tell("0")


async def two_workers(bench: Bench) -> None:
    """Measures what an issuance takes with two workers beside what it takes with one, in turns."""
    table("workers, nothing pinned: they share both cores with the load", "a second", "CPU ms each")
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(bench.stage.gateway())
        two = await stack.enter_async_context(bench.stage.gateway(workers=2))
        runs: tuple[list[Run], list[Run]] = ([], [])
        for _ in range(bench.scale.pairs):
            for place, (gateway, callers, name) in enumerate(((one, 16, "one worker"), (two, 32, "two workers"))):
                runs[place].append(await bench.load("issue", gateway, callers=callers))
                row(f"{name}, {callers} callers", runs[place][-1])
    bench.judge(Aim("CPU of an issuance with two workers / with one", 1.1), side_by_side(*runs))


async def memory(bench: Bench) -> None:
    """Measures what a worker holds in memory while many grants live and calls are answered."""
    url = bench.stage.new_ledger()
    async with open_ledger(url, SystemClock(), denying=True) as ledger:
        await asyncio.to_thread(ledgers.fill_with_what_lives, ledger.store.database, bench.scale.live)
    async with bench.stage.gateway(core=bench.core, database=url) as gateway:
        table(f"beside {bench.scale.live:,} live grants", "a second", "CPU ms each")
        row("issuances, 16 callers", await bench.load("issue", gateway))
        sizes = [size / MEGABYTE for size in resident_bytes(gateway.pid)]
    print(f"\nResident memory, process by process: {', '.join(f'{size:.0f} MB' for size in sizes)}.")
    of = f"with {bench.scale.live:,} live grants"
    bench.judge(Aim(f"memory of a worker {of}", 200, " MB"), (max(sizes),))
    bench.judge(Aim(f"the same with its policy processes {of}", 256, " MB"), (sum(sizes),))


async def entitlements(bench: Bench) -> None:
    """Measures an issuance by the size of the catalogue, each size beside the least, in turns."""
    least, *more = bench.scale.entitlements
    async with bench.stage.gateway(entitlements=least, core=bench.core) as small:
        for size in more:
            async with bench.stage.gateway(entitlements=size, core=bench.core) as large:
                await _flat(bench, (small, large), (least, size), "entitlements")


async def stored_grants(bench: Bench) -> None:
    """Measures an issuance by the grants that the ledger holds already, each size beside the least, in turns."""
    least, *more = bench.scale.stored
    async with bench.stage.gateway(core=bench.core, database=await _filled(bench, least)) as small:
        for size in more:
            async with bench.stage.gateway(core=bench.core, database=await _filled(bench, size)) as large:
                await _flat(bench, (small, large), (least, size), "stored grants")


PARTS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "cpu": cpu,
    "own-time": own_time,
    "two-workers": two_workers,
    "memory": memory,
    "entitlements": entitlements,
    "stored-grants": stored_grants,
}


async def _flat(bench: Bench, gateways: tuple[Gateway, Gateway], sizes: tuple[int, int], what: str) -> None:
    """Measures two gateways in turns and holds the cost of the one to that of the other."""
    table(f"issuances by {what}, one core", "a second", "CPU ms each")
    runs: tuple[list[Run], list[Run]] = ([], [])
    for _ in range(bench.scale.pairs):
        for place, (gateway, size) in enumerate(zip(gateways, sizes, strict=True)):
            runs[place].append(await bench.load("issue", gateway))
            row(f"{size:,} {what}", runs[place][-1])
    bench.judge(Aim(f"CPU of an issuance with {sizes[1]:,} {what} / {sizes[0]:,}", 1.1), side_by_side(*runs))


async def _filled(bench: Bench, count: int) -> str:
    """Returns where a new ledger is that holds so many grants that are over."""
    url = bench.stage.new_ledger()
    async with open_ledger(url, SystemClock(), denying=True) as ledger:
        await asyncio.to_thread(ledgers.fill_with_what_is_over, ledger.store.database, count)
    return url


def table(title: str, *columns: str) -> None:
    """Prints the head of a table; a table of runs ends with the calibration."""
    columns = (title, *columns, *(() if "p50 ms" in columns else ("calibration ms",)))
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def row(name: str, run: Run) -> None:
    """Prints a run, and how fast the machine was beside it."""
    rates, cpus = run.rates, run.cpu_per_answer or [float("nan")]
    spread = f"{max(rates):.0f} (median {statistics.median(rates):.0f}, least {min(rates):.0f})"
    told = f"{min(cpus):.2f} (median {statistics.median(cpus):.2f})"
    print(f"| {name} | {spread} | {told} | {calibration():.2f} |", flush=True)
    tell_failures(run)


def tell_failures(run: Run) -> None:
    """Says what was answered that is no answer."""
    for failure in run.failures:
        print(f"  NOT OK: {failure}", file=sys.stderr)
