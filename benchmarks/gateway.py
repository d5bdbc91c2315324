"""Measures the whole gateway beside what it cannot be faster than, and prints the tables of benchmarks/README.md.

`python -m benchmarks.gateway` takes about five minutes, `--quick` a minute with a rougher answer. What is measured is
`remit-server serve`: TLS with client certificates, SQLite on disk, the embedded engine, the default policy.
"""

import argparse
import asyncio
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rig.accounting import Run, calibration, durable_write, percentile, resident_bytes
from benchmarks.rig.stage import TOKENS, Gateway, Stage, ran

CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE, LOAD_CORE = CORES[0], CORES[-1]
STS_DELAY = 0.030
SIZES = (1_000, 100_000)
REQUEST_BYTES = 1400


@dataclass(slots=True)
class Bench:
    """Runs the measurements one after the other and keeps what they say."""

    stage: Stage
    windows: int
    quick: bool
    floors: dict[str, Run] = field(default_factory=dict)
    paces: list[float] = field(default_factory=list)

    async def whole(self) -> None:
        """Measures everything; the floors first and last, because the machine may change its pace meanwhile."""
        await self._sts_floors()
        async with self.stage.gateway(core=GATEWAY_CORE) as gateway:
            answer_bytes = await self._throughput(gateway)
            await self._own_time(gateway)
        await self._echo_floor(answer_bytes)
        self._ratios()
        if not self.quick:
            await self._entitlements()
            await self._two_workers()

    async def _sts_floors(self) -> None:
        _table("one call to STS, the same fake on TLS", "calls/s", "CPU ms a call")
        files = (self.stage.sts_url, str(self.stage.authority.bundle_path), str(self.windows))
        for name, which in (
            ("boto3 `assume_role`, one after the other", "boto3"),
            ("our adapter, 16 at a time", "ours"),
        ):
            self.floors[which] = await ran("sts_calls", which, *files, core=GATEWAY_CORE)
            self._row(name, self.floors[which])

    async def _throughput(self, gateway: Gateway) -> int:
        """Measures closed loops on one core; returns the size of an answer."""
        _table("the gateway on one core, at saturation", "answers/s", "CPU ms each")
        issued = await self.stage.load("issue", gateway, self.windows, callers=16)
        self._row("issuances, 0 ms STS, 16 callers", issued)
        await self._slow_sts(STS_DELAY)
        slow = await self.stage.load("issue", gateway, self.windows, callers=64)
        self._row("issuances, 30 ms STS, 64 callers", slow)
        await self._slow_sts(0)
        previewed = await self.stage.load("preview", gateway, self.windows, callers=16)
        self._row("previews, 16 callers", previewed)
        self.floors.update(issue=issued, slow=slow, preview=previewed)
        memory = ", ".join(f"{size >> 20} MB" for size in resident_bytes(gateway.pid))
        print(f"\nResident memory afterwards, process by process: {memory}.")
        return issued.answer_bytes

    async def _own_time(self, gateway: Gateway) -> None:
        """Measures open loops at half and at nine tenths of what saturation gave."""
        _table(
            "the gateway's own time (total less the delay of STS), Poisson arrivals",
            "asked/s",
            "p50 ms",
            "p99 ms",
            "failed",
        )
        for delay, saturated in ((0.0, self.floors["issue"]), (STS_DELAY, self.floors["slow"])):
            await self._slow_sts(delay)
            for share in (0.5, 0.9):
                rate = statistics.median(saturated.rates) * share
                run = await self.stage.load("issue", gateway, self.windows, rate=rate)
                own = [(percentile(run.latencies, percent) - delay) * 1000 for percent in (50, 99)]
                failed = sum(window.failures for window in run.windows)
                name = f"{share:.0%} of saturation, {delay * 1000:.0f} ms STS"
                print(f"| {name} | {rate:.0f} | {own[0]:.1f} | {own[1]:.1f} | {failed} |")
                _tell_failures(run)
        await self._slow_sts(0)

    async def _echo_floor(self, answer_bytes: int) -> None:
        _table("a bare grpc.aio echo on one core, the same TLS and sizes", "answers/s", "CPU ms each")
        async with self.stage.echo(answer_bytes, core=GATEWAY_CORE) as echo:
            self.floors["echo"] = await self.stage.load("echo", echo, self.windows, callers=16)
        self._row(f"answers of {answer_bytes} bytes", self.floors["echo"])

    def _ratios(self) -> None:
        """Prints the main figures: least CPU against least CPU, median against median."""
        print("\n| ratio of CPU per call | least | median |\n|---|---|---|")
        issue, preview, echo, ours, boto3 = (
            self.floors[name] for name in ("issue", "preview", "echo", "ours", "boto3")
        )
        for name, least, median in (
            ("issuance / boto3 `assume_role`", _least(issue) / _least(boto3), _median(issue) / _median(boto3)),
            (
                "issuance / (echo + our STS call)",
                _least(issue) / (_least(echo) + _least(ours)),
                _median(issue) / (_median(echo) + _median(ours)),
            ),
            ("preview / boto3 `assume_role`", _least(preview) / _least(boto3), _median(preview) / _median(boto3)),
        ):
            print(f"| {name} | {least:.2f} | {median:.2f} |")

    async def _entitlements(self) -> None:
        _table("issuances by the size of the catalogue, one core, 0 ms STS", "answers/s", "CPU ms each")
        self._row("10 entitlements", self.floors["issue"])
        for size in SIZES:
            async with self.stage.gateway(entitlements=size, core=GATEWAY_CORE) as gateway:
                self._row(f"{size:,} entitlements", await self.stage.load("issue", gateway, self.windows, callers=16))

    async def _two_workers(self) -> None:
        _table("two workers, no core pinned: they share both cores with the load", "answers/s", "CPU ms each")
        if not _knows_workers():
            print("| this version has one worker only | | |")
            return
        async with self.stage.gateway(workers=2) as gateway:
            for what in ("issue", "preview"):
                run = await self.stage.load(what, gateway, self.windows, callers=32)
                self._row(f"{what}, 32 callers", run)

    async def _slow_sts(self, seconds: float) -> None:
        await self.stage.sts.tell(str(seconds))

    def _row(self, name: str, run: Run) -> None:
        """Prints a run, and how fast the machine was beside it."""
        self.paces.append(calibration())
        rates = run.rates
        spread = f"{max(rates):.0f} (median {statistics.median(rates):.0f}, least {min(rates):.0f})"
        print(
            f"| {name} | {spread} | {_least(run):.2f} (median {_median(run):.2f}) | {self.paces[-1]:.2f} |", flush=True
        )
        _tell_failures(run)


def _least(run: Run) -> float:
    return min(run.cpu_per_answer, default=math.nan)


def _median(run: Run) -> float:
    return statistics.median(run.cpu_per_answer or [math.nan])


def _table(title: str, *columns: str) -> None:
    """Prints the head of a table; a table of runs ends with the calibration."""
    columns = (title, *columns, *(() if "p50 ms" in columns else ("calibration ms",)))
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def _tell_failures(run: Run) -> None:
    for failure in run.failures:
        print(f"  FAILED: {failure}", file=sys.stderr)


def _knows_workers() -> bool:
    """Says whether `serve` takes --workers."""
    command = [sys.executable, "-m", "remit_server", "serve", "--help"]
    return "--workers" in subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - ours


def _introduce(folder: Path, windows: int) -> None:
    """Prints where and how this was measured."""
    least, median = durable_write(folder)
    model = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    said = (
        f"{datetime.now(UTC):%d %B %Y %H:%M} UTC, `python -m benchmarks.gateway`. {len(CORES)} cores ({model})",
        f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f} at the start",
        f"gateway and floors on core {GATEWAY_CORE}, STS and load on core {LOAD_CORE}",
        "TLS everywhere, mTLS before the gateway; default policy, embedded engine",
        f"{TOKENS} tokens in turn, in the gateway's cache after the first round (hit rate over 99 %)",
        f"{windows} windows of one second a run",
        f"4 KiB are on disk in {least:.2f} ms at least (median {median:.2f})",
        "calibration: CPU ms of a fixed loop beside each run",
    )
    print("; ".join(said) + ".")


async def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three windows, one gateway")
    parser.add_argument("--windows", type=int, default=8, help="one-second windows of each run")
    options = parser.parse_args(arguments)
    windows = 3 if options.quick else options.windows
    folder = Path(tempfile.mkdtemp(prefix="remit-bench-"))
    try:
        _introduce(folder, windows)
        async with Stage.set(folder / "stage", load_core=LOAD_CORE) as stage:
            await Bench(stage, windows, options.quick).whole()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    asyncio.run(main())
