"""Measures what happens to tasks after they began, on both databases, and prints the tables of benchmarks/README.md.

`python -m benchmarks.lifecycle` takes about ten minutes, `--quick` four with a smaller ledger. PostgreSQL is the one
that the tests start. How soon AWS refuses what was revoked is measured by `python -m benchmarks.revocation`.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from benchmarks.rig import ledgers
from benchmarks.rig.accounting import calibration, percentile, resident_bytes
from benchmarks.rig.stage import Gateway, Stage
from tests.real_postgresql import PostgresqlServer, postgresql_server

from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.revoking.stopped import new_revocation_id
from remit_server.adapters.system_clock import SystemClock
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind

MANY, LIVE, OF_ONE_USER = 1_000_000, 1_000, 10_000
REVOKES = 100
WORKERS = (1, 2, 4)


@dataclass(slots=True)
class Bench:
    """Runs the measurements one after the other."""

    stage: Stage
    server: PostgresqlServer
    folder: Path
    many: int
    windows: int
    _numbers: list[int] = field(default_factory=list)

    async def whole(self) -> None:
        """Measures everything."""
        await self._revokes()
        await self._one_user()
        await self._throughput()
        await self._starts()

    def _url(self, name: str) -> str:
        """Returns where a new ledger of this kind can be made."""
        self._numbers.append(1)
        if name == "SQLite":
            return f"sqlite:///{self.folder}/ledger-{len(self._numbers)}.sqlite3"
        return self.server.url(self.server.create())

    async def _revokes(self) -> None:
        """Revokes user after user beside two gateways on one ledger, and asks both of them again at once."""
        print(f"\n| revoke to no new credentials on any replica, {LIVE} live tasks | p50 ms | p99 ms | refused |")
        print("|---|---|---|---|")
        for name in ("SQLite", "PostgreSQL"):
            url = self._url(name)
            async with AsyncExitStack() as stack:
                ledger = await stack.enter_async_context(_ledger(url))
                await asyncio.to_thread(ledgers.fill_with_what_lives, ledger.store.database, LIVE)
                replicas = [await stack.enter_async_context(self.stage.gateway(database=url)) for _ in range(2)]
                stubs = [await stack.enter_async_context(self._stub(gateway)) for gateway in replicas]
                times, refused = await self._revoke_each(ledger, stubs)
            told = [f"{percentile(times, percent) * 1000:.1f}" for percent in (50, 99)]
            print(f"| {name}, two gateways and a revoker | {told[0]} | {told[1]} | {refused} of {2 * REVOKES} |")

    async def _revoke_each(self, ledger: DatabaseLedger, stubs: list[Any]) -> tuple[tuple[float, ...], int]:
        """Returns how long each revoke took, and how many calls right after one were refused because of it."""
        times: list[float] = []
        refused = 0
        revocations = DatabaseRevocations(ledger.store)
        for number in range(REVOKES):
            user = f"revoked-{number}"
            token = self.stage.issuer.token(user, client_id="copilot", groups=("analysts",))
            await asyncio.gather(*(_issued(stub, token) for stub in stubs))
            await asyncio.sleep(1.1 - time.time() % 1 if number == 0 else 0)
            begun = time.perf_counter()
            await revocations.revoke(_order(Target(TargetKind.SUBJECT, user, self.stage.issuer.url)))
            times.append(time.perf_counter() - begun)
            answers = await asyncio.gather(*(_issued(stub, token) for stub in stubs))
            refused += sum(answer is grpc.StatusCode.UNAUTHENTICATED for answer in answers)
        return tuple(times), refused

    @asynccontextmanager
    async def _stub(self, gateway: Gateway) -> AsyncIterator[Any]:
        """Yields a stub of an agent."""
        stage = self.stage
        credentials = grpc.ssl_channel_credentials(
            stage.authority.bundle_path.read_bytes(),
            stage.agent.key_path.read_bytes(),
            stage.agent.certificate_path.read_bytes(),
        )
        async with grpc.aio.secure_channel(gateway.address, credentials) as channel:
            yield CredentialServiceStub(channel)

    async def _one_user(self) -> None:
        """Revokes a user with ten thousand live grants."""
        print(f"\n| revoking a user with {OF_ONE_USER:,} live grants | least ms | median ms |\n|---|---|---|")
        for name in ("SQLite", "PostgreSQL"):
            times = []
            for _ in range(3):
                async with _ledger(self._url(name)) as ledger:
                    await asyncio.to_thread(ledgers.fill_with_what_lives, ledger.store.database, OF_ONE_USER)
                    begun = time.perf_counter()
                    order = _order(Target(TargetKind.SUBJECT, "alice", ledgers.ISSUER))
                    revoked = await DatabaseRevocations(ledger.store).revoke(order)
                    times.append((time.perf_counter() - begun) * 1000)
                if revoked.grant_count != OF_ONE_USER:
                    raise RuntimeError(f"{revoked.grant_count} grants were revoked")
            print(f"| {name} | {min(times):.0f} | {statistics.median(times):.0f} |")

    async def _throughput(self) -> None:
        """Measures issuances with several workers; gateway, database, STS and load share the machine's cores."""
        print("\n| issuances, 0 ms STS, nothing pinned | a second (most; median) | CPU ms each, least | p99 ms |")
        print("|---|---|---|---|")
        for name in ("SQLite", "PostgreSQL"):
            for workers in WORKERS:
                async with self.stage.gateway(workers=workers, database=self._url(name)) as gateway:
                    run = await self.stage.load("issue", gateway, self.windows, callers=16 * workers)
                rates = f"{max(run.rates):.0f}; {statistics.median(run.rates):.0f}"
                late = percentile(run.latencies, 99) * 1000
                cpu = f"{min(run.cpu_per_answer):.2f}"
                print(f"| {name}, {workers} worker{'s' * (workers > 1)} | {rates} | {cpu} | {late:.0f} |")

    async def _starts(self) -> None:
        """Starts a gateway on an empty ledger and on a large one."""
        print(
            "\n| start of a gateway until it serves | grants | s | resident MB | filled in s |\n|---|---|---|---|---|"
        )
        for name in ("SQLite", "PostgreSQL"):
            for count in (0, self.many):
                url, begun = self._url(name), time.perf_counter()
                async with _ledger(url) as ledger:
                    await asyncio.to_thread(ledgers.fill_with_what_is_over, ledger.store.database, count)
                    await asyncio.to_thread(ledgers.fill_with_what_lives, ledger.store.database, min(count, LIVE))
                filled, begun = time.perf_counter() - begun, time.perf_counter()
                async with self.stage.gateway(database=url) as gateway:
                    took = time.perf_counter() - begun
                    await asyncio.sleep(6)  # one sweep
                    size = max(resident_bytes(gateway.pid)) >> 20
                print(f"| {name} | {count:,} | {took:.1f} | {size} | {filled:.0f} |")


@asynccontextmanager
async def _ledger(url: str) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(url, SystemClock(), denying=True) as ledger:
        yield ledger


def _order(target: Target) -> RevokeOrder:
    return RevokeOrder(new_revocation_id(), target, RevokeCause.REQUESTED, by="bench", why="measured")


async def _issued(stub: Any, token: str) -> grpc.StatusCode:
    """Asks for credentials; returns how the call ended."""
    permission = types_pb2.Permission(actions=["s3:GetObject"], resources=["arn:aws:s3:::reports/2026/q3/*"])
    request = messages.IssueCredentialsRequest(
        request_id=str(uuid.uuid4()),
        subject_token=token,
        intent=types_pb2.TaskIntent(purpose="measured", permissions=[permission]),
    )
    try:
        await stub.IssueCredentials(request)
    except grpc.aio.AioRpcError as failed:
        return failed.code()
    return grpc.StatusCode.OK


async def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller ledger and three windows")
    quick: bool = parser.parse_args().quick
    print(f"{datetime.now(UTC):%d %B %Y %H:%M} UTC; calibration loop {calibration():.1f} ms")
    with tempfile.TemporaryDirectory() as name, postgresql_server() as server:
        folder = Path(name)
        async with Stage.set(folder / "stage", load_core=None) as stage:
            await Bench(stage, server, folder, MANY // 10 if quick else MANY, 3 if quick else 8).whole()


if __name__ == "__main__":
    asyncio.run(main())
