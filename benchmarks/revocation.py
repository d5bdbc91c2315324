"""Measures how long AWS lets revoked credentials work, on both databases, and prints a table of benchmarks/README.md.

`python -m benchmarks.revocation` takes about five minutes, `--quick` one. AWS is ministack, which obeys a new text at
once: what is measured is Remit's part, from the revoke to the text in force. AWS itself takes seconds more.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rig import ledgers
from benchmarks.rig.accounting import calibration, percentile
from benchmarks.rig.revoking import PATIENCE, Holder, Street, Writer, running_writer
from tests.real_postgresql import PostgresqlServer, postgresql_server

from remit_sandbox.local_aws import LocalAws
from remit_sandbox.sample_account import SampleAccount
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.revoking.stopped import new_revocation_id
from remit_server.adapters.system_clock import SystemClock
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind

LIVE = 1_000
BETWEEN_SECONDS = 1.2  # more than the second that lies between two versions of a policy
BURST_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Times:
    """When a revoke began, was recorded, and when AWS refused what it covers; in seconds of one clock."""

    begun: float
    recorded: float
    refused: float


@dataclass(slots=True)
class Bench:
    """Revokes tasks one after the other, while somebody uses the credentials of each."""

    server: PostgresqlServer
    folder: Path
    count: int

    async def whole(self) -> None:
        """Measures both databases."""
        print(f"\n| {LIVE:,} live tasks; milliseconds from the revoke on | recorded p50; p99 | AWS refuses p50; p99 | "
              "observed p50; p99 | revokes | versions written |\n|---|---|---|---|---|---|")  # fmt: skip
        urls = {
            "SQLite": f"sqlite:///{self.folder}/revocation.sqlite3",
            "PostgreSQL": self.server.url(self.server.create()),
        }
        for name, url in urls.items():
            # An AWS for each: the policies of one account are one ledger's.
            async with await LocalAws.start(self.folder / f"aws-{name}") as aws:
                await self._on(name, url, aws, await aws.seed())

    async def _on(self, name: str, url: str, aws: LocalAws, account: SampleAccount) -> None:
        """Measures one database."""
        first = 1 << 30
        async with AsyncExitStack() as stack:
            ledger = await stack.enter_async_context(open_ledger(url, SystemClock(), denying=True))
            await asyncio.to_thread(ledgers.fill_with_what_lives, ledger.store.database, LIVE, "alice", first)
            writer = await stack.enter_async_context(running_writer(aws, account, ledger))
            revoke, street = _revoking(DatabaseRevocations(ledger.store), writer), Street.of(aws, account)
            stack.push_async_callback(street.calls.close)
            numbers = range(first, first + self.count)
            await self._row(f"{name}, one at a time", revoke, (writer, street), numbers, BETWEEN_SECONDS)
            numbers = range(first + self.count, first + 2 * self.count)
            await self._row(f"{name}, twenty a second", revoke, (writer, street), numbers, BURST_SECONDS)

    async def _row(
        self,
        name: str,
        revoke: Callable[[str], Awaitable[None]],
        aws: tuple[Writer, Street],
        numbers: Sequence[int],
        between: float,
    ) -> None:
        """Prints the times of these revokes."""
        writer, street = aws
        holders = [await asyncio.to_thread(street.holder, number) for number in numbers]
        writer.outbox.observed_at.clear()
        written = len(writer.writes)
        running: list[asyncio.Task[Times]] = []
        for holder in holders:
            running.append(asyncio.create_task(_measured(holder, revoke)))
            await asyncio.sleep(between)
        times = await asyncio.gather(*running)
        await _all_observed(writer, len(holders))
        seen = sorted(writer.outbox.observed_at.values())
        observed = [late - one.begun for late, one in zip(seen, times, strict=True)]
        columns = [
            [one.recorded - one.begun for one in times],
            [one.refused - one.begun for one in times],
            observed,
        ]
        told = " | ".join("; ".join(f"{percentile(tuple(each), at) * 1000:.0f}" for at in (50, 99)) for each in columns)
        print(f"| {name} | {told} | {len(times)} | {len(writer.writes) - written} |")


def _revoking(revocations: DatabaseRevocations, writer: Writer) -> Callable[[str], Awaitable[None]]:
    """Returns what revokes a task as GrantService does."""

    async def revoke(task: str) -> None:
        target = Target(TargetKind.TASK, task)
        order = RevokeOrder(new_revocation_id(), target, RevokeCause.REQUESTED, by="bench", why="measured")
        await revocations.revoke(order)
        writer.wake()

    return revoke


async def _measured(holder: Holder, revoke: Callable[[str], Awaitable[None]]) -> Times:
    """Revokes a task while its credentials are used."""
    if not await holder.works():
        raise RuntimeError("the credentials did not work to begin with")
    begun = time.perf_counter()
    await revoke(holder.task)
    recorded = time.perf_counter()
    return Times(begun, recorded, await holder.until_refused())


async def _all_observed(writer: Writer, count: int) -> None:
    """Waits until so many denies are observed."""
    deadline = time.perf_counter() + PATIENCE
    while len(writer.outbox.observed_at) < count:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{len(writer.outbox.observed_at)} of {count} were observed")
        await asyncio.sleep(0.05)


async def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ten revokes a row instead of a hundred")
    quick: bool = parser.parse_args().quick
    print(f"{datetime.now(UTC):%d %B %Y %H:%M} UTC; calibration loop {calibration():.1f} ms")
    with tempfile.TemporaryDirectory() as name, postgresql_server() as server:
        folder = Path(name)
        await Bench(server, folder, 10 if quick else 100).whole()


if __name__ == "__main__":
    asyncio.run(main())
