"""Measures from activating a policy to its being obeyed everywhere, on both databases; prints a table for README.md.

`python -m benchmarks.activation` takes up to a quarter of an hour, `--quick` two minutes (without 100,000
entitlements). Two gateways on one ledger are asked all the time; revisions are activated beside them, by this process.
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from benchmarks.rig.accounting import calibration, percentile
from benchmarks.rig.stage import Gateway, Stage, grown_bundle
from tests.policy_revisions import Beside, revision_in
from tests.real_postgresql import PostgresqlServer, postgresql_server

from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.policy.bundles.bundle import stamp
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.policy.ports import NewRevision

SMALL, LARGE = 10, 100_000
CALLERS = 2  # at each gateway
ROLLBACKS = 20
LOADED_WITHIN = 300.0
_SETTLE = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """One call: when it was asked and answered, by which gateway, and the revision that decided; empty for an error."""

    begun: float
    ended: float
    gateway: int
    revision: str


@dataclass(slots=True)
class Watch:
    """Asks both gateways all the time and keeps what they answer."""

    stubs: list[CredentialServiceStub]
    tokens: list[str]
    answers: list[Answer] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    async def ask(self, gateway: int) -> None:
        """Asks one gateway again and again."""
        while True:
            begun, revision = time.monotonic(), ""
            token = self.tokens[len(self.answers) % len(self.tokens)]
            capability = types_pb2.Capability(
                name="s3.read_prefix", parameters={"bucket": "reports", "prefix": "2026/q3/"}
            )
            request = messages.IssueCredentialsRequest(
                request_id=str(uuid.uuid4()),
                subject_token=token,
                intent=types_pb2.TaskIntent(purpose="summarise", capabilities=[capability]),
            )
            try:
                issued = await self.stubs[gateway].IssueCredentials(request, timeout=20)  # type: ignore[misc]
                revision = issued.grant.policy_revision
            except grpc.aio.AioRpcError as error:
                self.errors[f"{error.code().name}: {error.details()}"] += 1
            self.answers.append(Answer(begun, time.monotonic(), gateway, revision))

    async def obeyed(self, revision: str, since: float, within: float) -> float:
        """Returns when the last of the gateways answered by a revision for the first time since then."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            first = [
                min(
                    (one.ended for one in self.answers if one.ended > since and one.gateway == gateway
                     and one.revision == revision),
                    default=None,
                )
                for gateway in range(len(self.stubs))
            ]  # fmt: skip
            if None not in first:
                return max(when for when in first if when is not None)
            await asyncio.sleep(0.005)
        raise RuntimeError(f"the gateways do not obey: {self.errors}")

    def late(self, revision: str, since: float) -> int:
        """Returns how many calls that were asked after a time were decided by this revision: it should be none."""
        return sum(one.begun > since and one.revision == revision for one in self.answers)


@dataclass(slots=True)
class Bench:
    """Activates beside two gateways."""

    stage: Stage
    server: PostgresqlServer
    folder: Path
    sizes: tuple[int, ...]

    async def whole(self) -> None:
        """Measures both databases with catalogues of each size."""
        print("\n| | activate, just published: committed; obeyed everywhere s | going back: committed p50; p99 ms "
              "| obeyed everywhere p50; p99 ms | decided by the old one after | calls; refused |\n"
              "|---|---|---|---|---|---|")  # fmt: skip
        for size in self.sizes:
            bundle = await asyncio.to_thread(grown_bundle, _made(self.folder / f"first-{size}"), size)
            first = await asyncio.to_thread(revision_in, bundle)
            rule = bundle / "remit/issue/issue.rego"
            rule.write_text(f"{rule.read_text()}\n# another revision\n")
            stamp(bundle)
            second = await asyncio.to_thread(revision_in, bundle)
            for name in ("SQLite", "PostgreSQL"):
                url = self.server.url(self.server.create())
                if name == "SQLite":
                    url = f"sqlite:///{self.folder}/ledger-{size}.sqlite3"
                await self._on(f"{name}, {size:,} entitlements", url, size, first, second)

    async def _on(self, name: str, url: str, size: int, first: NewRevision, second: NewRevision) -> None:
        """Measures one database with one catalogue."""
        async with AsyncExitStack() as stack:
            gateways = [
                await stack.enter_async_context(self.stage.gateway(entitlements=size, database=url)) for _ in range(2)
            ]
            ledger = await stack.enter_async_context(open_ledger(url, SystemClock()))
            beside = Beside(DatabaseRevisions(ledger.store))
            watch = Watch(
                [await stack.enter_async_context(self._stub(one)) for one in gateways],
                self.stage.tokens.read_text(encoding="ascii").split(),
            )
            asking = [asyncio.create_task(watch.ask(number)) for number in range(2) for _ in range(CALLERS)]
            start = await beside.publish(first)
            await beside.activate(start)
            await watch.obeyed(start, time.monotonic(), LOADED_WITHIN)
            other = await beside.publish(second)
            cold = await _activated(beside, watch, other)
            warm = []
            for turn in range(ROLLBACKS):
                await asyncio.sleep(_SETTLE)
                warm.append(await _activated(beside, watch, (start, other)[turn % 2]))
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        committed, obeyed = (tuple(1000 * one[place] for one in warm) for place in (0, 1))
        late = cold[2] + sum(one[2] for one in warm)
        print(f"| {name} | {cold[0]:.2f}; {cold[1]:.2f} "
              f"| {percentile(committed, 50):.0f}; {percentile(committed, 99):.0f} "
              f"| {percentile(obeyed, 50):.0f}; {percentile(obeyed, 99):.0f} "
              f"| {late} | {len(watch.answers)}; {watch.errors.total()} |")  # fmt: skip
        if strange := {text for text in watch.errors if "policy revision" not in text}:
            print(f"refused otherwise: {strange}")

    @asynccontextmanager
    async def _stub(self, gateway: Gateway) -> AsyncIterator[CredentialServiceStub]:
        """Gives a stub of the agent's."""
        paths = (self.stage.authority.bundle_path, self.stage.agent.key_path, self.stage.agent.certificate_path)
        credentials = grpc.ssl_channel_credentials(*(path.read_bytes() for path in paths))
        options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(gateway.address, credentials, options) as channel:
            yield CredentialServiceStub(channel)


async def _activated(beside: Beside, watch: Watch, revision: str) -> tuple[float, float, int]:
    """Activates; returns after how many seconds it was committed, obeyed everywhere, and how many calls came late."""
    begun = time.monotonic()
    done = await beside.activate(revision)
    committed = time.monotonic()
    obeyed = await watch.obeyed(revision, committed, LOADED_WITHIN)
    return committed - begun, obeyed - begun, watch.late(done.previous, committed)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def main() -> None:
    """Measures, and says when and how busy the machine was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without 100,000 entitlements")
    quick: bool = parser.parse_args().quick
    print(f"{datetime.now(UTC):%d %B %Y %H:%M} UTC, calibration loop {calibration():.1f} ms")
    with tempfile.TemporaryDirectory() as name, postgresql_server() as server:
        folder = Path(name)
        async with Stage.set(folder / "stage", load_core=None) as stage:
            await Bench(stage, server, folder, (SMALL,) if quick else (SMALL, LARGE)).whole()


if __name__ == "__main__":
    asyncio.run(main())
