"""Measures durable appends to the ledger on SQLite and PostgreSQL, and how soon another process hears of a commit.

`python -m benchmarks.appends` takes a minute. Each append is one record of a refusal, answered once it is on disk; the
writers of one process share commits. PostgreSQL is started by the tests' own means, over a unix socket, fsync on.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from time import perf_counter

from benchmarks.rig.accounting import calibration, durable_write, percentile
from tests.ledger_values import opening, refused_record
from tests.ledger_writer import SystemTime
from tests.real_postgresql import postgresql_server

from remit_server.adapters.database.following.follower import following
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.domain.identity import Actor, ActorKind

SECONDS = 5.0
LANES = 64
SIGNALS = 200
_COPILOT = Actor("spiffe://example/copilot", ActorKind.SPIFFE, "spiffe://example")


async def appended(place: str, lanes: int, *, grants: int = 0) -> tuple[int, tuple[float, ...]]:
    """Appends for some seconds; returns how many and how long each took. With `grants` each is an authorization."""
    times: list[float] = []

    async def lane(ledger: DatabaseLedger, number: int) -> None:
        while (begun := perf_counter()) < end:
            if grants:
                await ledger.authorize(opening(grants + len(times) * 1000 + number))
            else:
                await ledger.record(refused_record())
            times.append(perf_counter() - begun)

    async with open_ledger(place, SystemTime()) as ledger:
        await ledger.record(refused_record())
        end = perf_counter() + SECONDS
        await asyncio.gather(*(lane(ledger, number) for number in range(lanes)))
    return len(times), tuple(times)


async def heard_after(place: str) -> tuple[float, ...]:
    """Returns how long after a task's end was answered another connection's follower had it."""
    waits: list[float] = []
    async with (
        open_ledger(place, SystemTime()) as one,
        open_ledger(place, SystemTime()) as other,
        following(other.store, place) as follow,
        aclosing(follow()) as signals,
    ):
        for number in range(SIGNALS):
            authorization = opening(90_000_000 + number)
            await one.authorize(authorization)
            heard = asyncio.ensure_future(anext(signals))
            await asyncio.sleep(0.01)  # it waits
            await one.end_task(authorization.grant.task_id, _COPILOT, SystemTime().now())
            answered = perf_counter()
            await heard
            waits.append(perf_counter() - answered)
    return tuple(waits)


def in_processes(place: str, count: int) -> tuple[int, tuple[float, ...]]:
    """Appends from several processes at once, `LANES` in flight in each."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-m", "benchmarks.appends", place], stdout=subprocess.PIPE, text=True)  # noqa: S603
            )
            for _ in range(count)
        ]
        said = [process.communicate()[0].split() for process in processes]
    return sum(len(one) for one in said), tuple(float(value) for one in said for value in one)


@contextmanager
def places() -> Iterator[dict[str, str]]:
    """Gives a fresh database of each kind."""
    with tempfile.TemporaryDirectory() as folder, postgresql_server() as server:
        yield {"SQLite": str(Path(folder) / "ledger.db"), "PostgreSQL": server.url(server.create())}


def row(name: str, count: int, times: tuple[float, ...]) -> None:
    """Prints one line of the table."""
    spread = " | ".join(f"{percentile(times, percent) * 1000:.1f}" for percent in (50, 99))
    print(f"| {name} | {count / SECONDS:,.0f} | {spread} |")


def main() -> None:
    """Prints the tables."""
    load = os.getloadavg()[0]
    print(f"{time.strftime('%d %B %Y %H:%M UTC', time.gmtime())}, load {load:.1f} at the start,")
    with tempfile.TemporaryDirectory() as folder:
        print(
            f"calibration {calibration():.1f} ms, 4 KiB on disk in {durable_write(Path(folder))[0]:.2f} ms at least\n"
        )
    print("| appends | a second | p50 ms | p99 ms |\n|---|---|---|---|")
    with places() as found:
        for kind, place in found.items():
            row(f"{kind}, one at a time", *asyncio.run(appended(place, 1)))
            row(f"{kind}, {LANES} in flight", *asyncio.run(appended(place, LANES)))
            row(f"{kind}, {LANES} authorizations in flight", *asyncio.run(appended(place, LANES, grants=1)))
            row(f"{kind}, two processes, {LANES} in flight each", *in_processes(place, 2))
        print("\n| another process hears of a commit after | p50 ms | p99 ms |\n|---|---|---|")
        for kind, place in found.items():
            waits = asyncio.run(heard_after(place))
            print(f"| {kind} | {percentile(waits, 50) * 1000:.1f} | {percentile(waits, 99) * 1000:.1f} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*(f"{taken:.6f}" for taken in asyncio.run(appended(sys.argv[1], LANES))[1]))
    else:
        main()
