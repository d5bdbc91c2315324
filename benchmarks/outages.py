"""Measures how soon callers are refused when the ledger is lost, and how soon they are served when it is back.

`python -m benchmarks.outages` takes two minutes. Each outage is made ten times, on SQLite by holding the write lock, on
PostgreSQL by holding the replicas' turn, by stopping every process of the server (SIGSTOP), and by killing them.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks.rig.accounting import calibration
from tests.crash.caller import Caller, subject_target
from tests.crash.gateway import opened_gateway
from tests.crash.steps import Steps
from tests.databases import held
from tests.faults.rig.ledgers import gone
from tests.real_postgresql import postgresql_server

TIMES = 10
CALLS = ("issue", "renew", "revoke", "end")


async def seconds(call: Awaitable[object]) -> float:
    """Returns how long a call took."""
    begun = perf_counter()
    await call
    return perf_counter() - begun


async def measure(name: str, place: str, outage: Callable[[], AbstractContextManager[None]]) -> None:
    """Prints the longest refusal of each call, and the longest wait for credentials once the ledger is back."""
    refusals: dict[str, list[float]] = {call: [] for call in CALLS}
    back: list[float] = []
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in range(TIMES):
        async with opened_gateway(place, datetime.now(UTC), "1" * 64, Steps(nowhere)) as gateway:
            caller = Caller(gateway, f"{name}-{number}a")
            login = caller.login()
            issued = await caller.asked(login)
            with outage():
                calls = (
                    caller.ask(login),
                    caller.renew(login, issued),
                    caller.revoke(subject_target(issued)),
                    caller.end(login, issued.grant.task_id),
                )
                for call, taken in zip(CALLS, await asyncio.gather(*map(seconds, calls)), strict=True):
                    refusals[call].append(taken)
            begun = perf_counter()
            while await caller.ask(caller.login("bob")) is None:  # noqa: ASYNC110 - nobody tells when it is back
                await asyncio.sleep(0.01)
            back.append(perf_counter() - begun)
    os.close(nowhere)
    longest = " | ".join(f"{max(refusals[call]):.2f}" for call in CALLS)
    print(f"| {name} | {longest} | {max(back):.2f} |")


async def main() -> None:
    """Prints a table."""
    print(calibration())
    print("| outage | issue s | renew s | revoke s | end s | back s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, postgresql_server() as server:
        file = Path(folder) / "ledger.db"
        await measure("SQLite held", str(file), lambda: held(file))
        url = server.url(server.create())
        await measure("PostgreSQL held", url, lambda: held(url))
        await measure("PostgreSQL hung", url, server.hung)
        await measure("PostgreSQL gone", url, lambda: gone(server))


if __name__ == "__main__":
    asyncio.run(main())
