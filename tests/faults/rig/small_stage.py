"""A real gateway process with little around it: SQLite, the policy in a folder, one issuer, and the strict fake STS."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tests.e2e.gateways import gateway_process
from tests.fake_sts import FakeSts
from tests.faults.rig.asking import Asked
from tests.faults.rig.configuration import Identities, as_toml, back, fake_roles, front, sample_archive
from tests.faults.rig.proxy import FaultProxy, fault_proxy
from tests.faults.rig.sinks import running_sinks
from tests.faults.rig.stage import beside

from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_sandbox.configuration import sample_policies


@dataclass
class SmallStage(Asked):
    """The gateway, its ledger, and who its agents are."""

    ledger: Path
    who: Identities
    issuer: FaultProxy

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Returns what the ledger holds, read beside the gateway."""
        return await asyncio.to_thread(self._read, statement)

    def stub_of(self, channel: grpc.aio.Channel) -> Any:
        """Returns the stub of a channel."""
        return CredentialServiceStub(channel)

    def _read(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement).fetchall()


@asynccontextmanager
async def small_stage(
    folder: Path,
    *,
    ledger: Path | None = None,
    limits: Mapping[str, object] | None = None,
    more: Mapping[str, Mapping[str, object]] | None = None,
    environment: Mapping[str, str] | None = None,
    sts_seconds: float = 5.0,
) -> AsyncIterator[SmallStage]:
    """Sets it up and ends it with the block; `more` are further tables of its configuration."""
    who = Identities.made(folder)
    ledger = ledger or folder / "ledger.sqlite3"
    async with AsyncExitStack() as stack:
        sts = await stack.enter_async_context(FakeSts(fake_roles()))
        sinks = await stack.enter_async_context(running_sinks(sample_archive()))
        issuer = await stack.enter_async_context(fault_proxy(sinks.address, serves=who.serves))
        issuers = {"issuer": f"https://{issuer.address}"}
        tables: dict[str, Mapping[str, object]] = {
            **front(who, issuers),
            **back(who, sts.url, f"sqlite:///{ledger}"),
            "policy": {"bundle": str(sample_policies())},
            **(more or {}),
        }
        tables["aws"] = {**tables["aws"], "timeout_seconds": sts_seconds, "max_in_flight": 1024}
        tables["limits"] = {**tables["limits"], **(limits or {})}
        config = folder / "remit.toml"
        config.write_text(as_toml(tables))
        config.chmod(0o600)
        process = gateway_process(config, folder / "gateway.log", environment=environment)
        gateway = await beside(stack, process)
        stub = CredentialServiceStub(await stack.enter_async_context(who.channel(gateway.mtls)))
        yield SmallStage(gateway, stub, sts, issuers, ledger, who, issuer)
