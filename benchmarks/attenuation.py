"""What a part of a grant costs beside a grant: `python -m benchmarks.attenuation`, about a minute; `--quick` half.

The whole gateway on SQLite, with a fake STS that answers at once, as `benchmarks.gateway` has it.
"""

import argparse
import asyncio
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rig.accounting import calibration, percentile
from benchmarks.rig.stage import Stage

WINDOWS, QUICK_WINDOWS = 8, 3


async def main() -> None:
    """Prints the table of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three windows")
    windows = QUICK_WINDOWS if parser.parse_args().quick else WINDOWS
    print(f"{datetime.now(UTC):%d %B %Y %H:%M} UTC; calibration loop {calibration():.1f} ms")
    print(
        "\n| 16 callers, 0 ms STS | CPU ms each, least | median | a second (most; median) | p50 ms | p99 ms | failed |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        async with Stage.set(Path(name) / "stage", load_core=None) as stage, stage.gateway() as gateway:
            for what in ("issue", "attenuate"):
                run = await stage.load(what, gateway, windows)
                cpu = f"{min(run.cpu_per_answer):.2f} | {statistics.median(run.cpu_per_answer):.2f}"
                rates = f"{max(run.rates):.0f}; {statistics.median(run.rates):.0f}"
                late = " | ".join(f"{percentile(run.latencies, percent) * 1000:.0f}" for percent in (50, 99))
                print(f"| {what} | {cpu} | {rates} | {late} | {'; '.join(run.failures) or '0'} |")


if __name__ == "__main__":
    asyncio.run(main())
