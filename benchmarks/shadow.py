"""Measures what a candidate in shadow costs the calls that it decides beside: issuing with and without, in turns.

`python -m benchmarks.shadow` takes about two minutes. Identity and STS are fakes of the tests; policy, planning and the
ledger (SQLite on disk) are real, in this process, and the candidate runs where it runs in a gateway. A closed loop of
one caller and of eight.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from benchmarks.rig.accounting import calibration, percentile
from tests.adapters.test_shadow import HANGING, Shadowed, shadowed
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import DRAFT, REPORT, edited

WINDOWS, CALLS = 4, 150


async def issued(world: Shadowed, callers: int) -> list[float]:
    """Returns how long each of some calls took, in ms; half are of the user a candidate may hang on."""
    times: list[float] = []

    async def caller(number: int) -> None:
        for count in range(CALLS // callers):
            is_eve = (number + count) % 2
            request = world.gateway.world.request(*(DRAFT if is_eve else REPORT,), user="eve" if is_eve else "ann")
            begun = perf_counter()
            await world.gateway.world.issue(request)
            times.append((perf_counter() - begun) * 1000)

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return times


async def measured(folder: Path) -> None:
    """Measures in turns without a candidate, with the active revision as the candidate, and with one that hangs."""
    hanging = edited(folder / "hanging", rego=HANGING)
    candidates: Mapping[str, Path | None] = {
        "no candidate": None,
        "a sound one": DEFAULT_POLICIES,
        "one that hangs": hanging,
    }
    times: dict[tuple[str, int], list[float]] = {}
    async with shadowed(folder / "ledger.db") as world:
        for _ in range(WINDOWS):
            for name, policies in candidates.items():
                if policies is not None:
                    await world.starts(policies)
                for callers in (1, 8):
                    times.setdefault((name, callers), []).extend(await issued(world, callers))
                await world.shadows.stop(by="bench")
                while world.shadowing.decides_by:  # noqa: ASYNC110 - it is told through the database
                    await asyncio.sleep(0.05)
    for (name, callers), took in times.items():
        p50, p99 = (percentile(tuple(took), part) for part in (50, 99))
        print(
            f"{callers} caller(s), {name:<15} least {min(took):6.2f} ms, p50 {p50:6.2f} ms, p99 {p99:7.2f} ms, "
            f"{len(took)} calls"
        )


async def main() -> None:
    """Prints the figures."""
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}"
    print(f"calibration {calibration():.1f} ms, load {os.getloadavg()[0]:.1f}, {machine}")
    with tempfile.TemporaryDirectory() as name:
        await measured(Path(name))
    print(f"calibration {calibration():.1f} ms, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    asyncio.run(main())
