"""Measures the whole gateway beside what it cannot be faster than, and holds every ratio to its aim.

`python -m benchmarks.gateway` takes about twenty minutes; `--quick` takes two and a half, with fewer windows, smaller
ledgers and a smaller catalogue, and says so in the names; `--only PART` (several times) measures parts alone. What is
measured is `remit-server serve`: TLS with client certificates, SQLite on disk, the embedded engine, the default policy.
"""

import argparse
import asyncio
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rig.accounting import calibration, durable_write
from benchmarks.rig.parts import PARTS, Bench, Scale
from benchmarks.rig.stage import TOKENS, Stage

CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE, LOAD_CORE = CORES[0], CORES[-1]
FULL = Scale(
    windows=8, pairs=3, live=100_000, entitlements=(10, 1_000, 100_000), stored=(1_000, 10_000, 100_000, 1_000_000)
)
QUICK = Scale(windows=2, pairs=1, live=10_000, entitlements=(10, 1_000), stored=(1_000, 20_000))


def introduction(folder: Path, windows: int) -> str:
    """Returns where and how this was measured."""
    least, median = durable_write(folder)
    model = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    said = (
        f"{datetime.now(UTC):%d %B %Y %H:%M} UTC, `python -m benchmarks.gateway`. {len(CORES)} cores ({model})",
        f"Python {platform.python_version()}, load average {os.getloadavg()[0]:.1f} at the start",
        f"gateway and floors on core {GATEWAY_CORE}, STS and load on core {LOAD_CORE}",
        "TLS everywhere, mTLS before the gateway; default policy, embedded engine",
        f"{TOKENS} tokens in turn, cached after the first round (hit rate over 99 %), but for one row",
        f"{windows} windows of one second a run",
        f"4 KiB are on disk in {least:.2f} ms at least (median {median:.2f})",
        f"calibration: CPU ms of a fixed loop beside each run, {calibration():.2f} now",
    )
    return "; ".join(said) + "."


async def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every ratio in a reduced form")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="one part alone; may be given again")
    parser.add_argument("--windows", type=int, help="one-second windows of each run")
    options = parser.parse_args(arguments)
    scale = QUICK if options.quick else FULL
    if options.windows:
        scale = scale.with_windows(options.windows)
    folder = Path(tempfile.mkdtemp(prefix="remit-bench-"))
    try:
        print(introduction(folder, scale.windows), flush=True)
        async with Stage.set(folder / "stage", load_core=LOAD_CORE) as stage:
            bench = Bench(stage, scale, GATEWAY_CORE)
            for name, part in PARTS.items():
                if not options.only or name in options.only:
                    await part(bench)
        print("\n".join(bench.summary()))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    asyncio.run(main())
