"""What a decision costs by the size of the catalogue: the default policy on the embedded engine and on a real OPA.

Questions differ in the user, the time and the purpose, and are asked one after the other; times are wall-clock, from
the port's call to the parsed decision. Needs `opa` for its half, and says when there is none.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rig.stage import grown_bundle
from tests.opa_server import opa_server
from tests.policy_bundles import asked
from tests.real_opa import is_there

from remit_server.adapters.opa.engine import OpaLimits, OpaServer
from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.domain.decision import Allow, DecisionInput

SIZES = (10, 1_000, 100_000)
QUESTIONS = 2_000
WARM_UP = 100
PATIENT_SECONDS = 5.0
MEMORY_BYTES = 2 << 30


def questions() -> list[DecisionInput]:
    """Returns questions of as many users of the group that the default policy lets read reports."""
    made = []
    for number in range(WARM_UP + QUESTIONS):
        changes: dict[str, Any] = {
            "subject": {"id": f"user-{number}"},
            "task": {"purpose": f"summarise {number}"},
            "context": {"time": f"2026-11-29T12:{number // 60 % 60:02}:{number % 60:02}Z"},
        }
        made.append(asked(changes))
    return made


async def measured(label: str, engine: EmbeddedRego | OpaServer) -> None:
    """Prints p50 and p99 of the decisions of an engine; raises when one is not a yes."""
    times = []
    for number, question in enumerate(questions()):
        start = time.perf_counter_ns()
        decision = await engine.decide(engine.active, question)
        taken = (time.perf_counter_ns() - start) / 1e6
        if not isinstance(decision, Allow):
            raise TypeError(f"the default policy refuses the question: {decision}")
        if number >= WARM_UP:
            times.append(taken)
    cuts = statistics.quantiles(times, n=100)
    print(f"{label:<40} p50 {statistics.median(times):6.2f} ms   p99 {cuts[98]:6.2f} ms   most {max(times):6.2f} ms")


async def on_embedded(bundle: Bundle, label: str) -> None:
    """Measures the embedded engine, and how long it takes to load."""
    limits = EngineLimits(decision_seconds=PATIENT_SECONDS, memory_bytes=MEMORY_BYTES)
    start = time.perf_counter()
    engine = await EmbeddedRego.start(bundle, limits)
    print(f"{label} embedded: loaded in {time.perf_counter() - start:.2f} s")
    try:
        await measured(f"{label} embedded", engine)
    finally:
        await engine.close()


async def on_opa(bundle: Bundle, label: str, folder: Path) -> None:
    """Measures a real OPA, and how long it takes to pull the bundle."""
    with opa_server(folder) as opa:
        start = time.perf_counter()
        engine = await OpaServer.start(bundle, opa.settings(), OpaLimits(decision_seconds=PATIENT_SECONDS))
        print(f"{label} OPA: loaded in {time.perf_counter() - start:.2f} s")
        try:
            await measured(f"{label} OPA", engine)
        finally:
            await engine.close()


async def main() -> None:
    """Measures both engines with each size of the catalogue."""
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            bundle = read_bundle(grown_bundle(folder, size))
            count = len(json.loads(bundle.data_json)["remit"]["catalog"]["entitlements"]["entitlements"])
            label = f"{count:,} entitlements,"
            await on_embedded(bundle, label)
            if is_there():
                await on_opa(bundle, label, folder / "opa")
            else:
                print(f"{label} OPA: not measured, there is no opa here")


if __name__ == "__main__":
    asyncio.run(main())
