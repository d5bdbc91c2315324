"""A real gateway process whose every dependency is real, or a strict fake, and stands behind a fault proxy."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.e2e.gateways import OwnGateway, gateway_process
from tests.event_world import RECEIVER
from tests.fake_sts import FakeSts
from tests.faults.rig.asking import Asked
from tests.faults.rig.configuration import Identities, as_toml, back, fake_roles, front, pem_of, sample_archive
from tests.faults.rig.ledgers import small_disk
from tests.faults.rig.proxy import FaultProxy, fault_proxy
from tests.faults.rig.sinks import Sinks, running_sinks
from tests.opa_server import OpaProcess, opa_server
from tests.real_postgresql import PostgresqlServer, postgresql_server
from tests.transmitter import ACCESS_TOKEN, Transmitter, running_transmitter

from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_sandbox.private_files import write_private

PATIENCE = 150.0  # of a test that waits for something; nothing is judged by it
PAUSE = 0.05
# Each meets an issuer of its own: a gateway asks one of them for its keys every half minute at most.
ISSUER_FAULTS = ("gone", "reset-after", "half", "stalled", "drip", "garbage", "status-500", "redirect", "empty", "huge")


@dataclass
class Stage(Asked):
    """The gateway and what stands around it; `proxies` are what may fail, by name."""

    server: PostgresqlServer
    database: str
    disk: Path | None
    sinks: Sinks
    opa: OpaProcess
    transmitter: Transmitter
    proxies: Mapping[str, FaultProxy]

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Returns what the ledger holds, read beside the gateway and its proxy."""
        return await asyncio.to_thread(self.server.asked, statement, self.database)


@asynccontextmanager
async def whole_stage(folder: Path, issuers: Sequence[str] = ()) -> AsyncIterator[Stage]:
    """Sets everything up, with proxies before so many issuers more, `issuer-...`, and ends it with the block."""
    who = Identities.made(folder)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgresql_server())
        disk = stack.enter_context(own_disk(server.folder))
        stack.callback(server.stop)  # before its disk goes
        database = server.create(tablespace=disk)
        opa = stack.enter_context(opa_server(folder / "opa"))
        sts = await stack.enter_async_context(FakeSts(fake_roles()))
        sinks = await stack.enter_async_context(running_sinks(sample_archive()))
        transmitter = await stack.enter_async_context(running_transmitter(who.authority))

        async def proxied(target: str, *, serves: bool = True, asks: bool = False) -> FaultProxy:
            contexts = {"serves": who.serves if serves else None, "asks": who.asks if asks else None}
            return await stack.enter_async_context(fault_proxy(target, **contexts))

        proxies = {
            "opa": await proxied(opa.address, serves=False),
            "sts": await proxied(sts.url.removeprefix("http://"), serves=False),
            "database": await proxied(f"127.0.0.1:{server.port}", serves=False),
            "events": await proxied(f"127.0.0.1:{transmitter.port}", asks=True),
            **{name: await proxied(sinks.address) for name in ("checkpoints", "webhook", "bundles", "issuer")},
            **{f"issuer-{name}": await proxied(sinks.address) for name in issuers},
        }
        # Each calls itself what it is called by the gateway: signatures and issuers are bound to that.
        sts.url, transmitter.port = f"http://{proxies['sts'].address}", proxies["events"].port
        config = folder / "remit.toml"
        config.write_text(
            as_toml(_tables(who, proxies, server=server, database=database, opa=opa, transmitter=transmitter))
        )
        config.chmod(0o600)
        gateway = await beside(stack, gateway_process(config, folder / "gateway.log"))
        stub = CredentialServiceStub(await stack.enter_async_context(who.channel(gateway.mtls)))
        users = {name: url for name, url in _urls(proxies).items() if name.startswith("issuer")}
        yield Stage(gateway, stub, sts, users, server, database, disk, sinks, opa, transmitter, proxies)


@contextmanager
def own_disk(folder: Path) -> Iterator[Path | None]:
    """Gives the ledger a disk of its own; None where none can be mounted, which the test that fills it then says."""
    with ExitStack() as stack:
        try:
            disk: Path | None = stack.enter_context(small_disk(folder / "disk", megabytes=64))
        except pytest.skip.Exception:
            disk = None
        yield disk


async def beside(stack: AsyncExitStack, process: AbstractContextManager[OwnGateway]) -> OwnGateway:
    """Enters and leaves a gateway's block in threads: what it depends on is served by this loop."""
    gateway = await asyncio.to_thread(process.__enter__)
    stack.push_async_callback(asyncio.to_thread, process.__exit__, None, None, None)
    return gateway


def _tables(
    who: Identities,
    proxies: Mapping[str, FaultProxy],
    *,
    server: PostgresqlServer,
    database: str,
    opa: OpaProcess,
    transmitter: Transmitter,
) -> dict[str, dict[str, object]]:
    """Returns the whole configuration: every address in it is a proxy's."""
    url = _urls(proxies)
    authority = {"ca_file": str(who.authority.bundle_path)}
    ledger = f"postgresql://postgres@{proxies['database'].address}/{database}?sslmode=disable"
    tables: dict[str, dict[str, object]] = {
        **front(who, {name: address for name, address in url.items() if name.startswith("issuer")}),
        **back(who, f"http://{proxies['sts'].address}", ledger),
        "policy": {"engine": "opa", "decision_timeout_milliseconds": 1000},
        "policy.opa": {
            "url": f"http://{proxies['opa'].address}",
            "bundle_address": opa.bundle_address,
            "token_file": str(write_private(who.folder / "opa-token", opa.token.encode())),
            "bundle_token_file": str(opa.folder / "bundle-token"),
            "start_timeout_seconds": 60,
        },
        "policy.bundle_server": {"url": f"{url['bundles']}/bundle", "poll_seconds": 1, **authority},
        "policy.signing": {"required": False},
        "checkpoints": {
            "url": f"{url['checkpoints']}/checkpoints",
            "signing_key_file": str(write_private(who.folder / "signing.key", pem_of(Ed25519PrivateKey.generate()))),
            "every_seconds": 5,
            "every_records": 1,
            **authority,
        },
        "notifications[]told": {
            "name": "told",
            "url": f"{url['webhook']}/notices",
            "secret_file": str(write_private(who.folder / "notices", b"0123456789abcdef" * 2)),
            **authority,
        },
        "transmitters[]signals": {
            "alias": "signals",
            "issuer": transmitter.issuer,
            "audience": RECEIVER,
            "algorithms": ["RS256"],
            "users_of": "issuer",
            "delivery": "poll",
            "poll_url": f"{transmitter.origin}/poll",
            "poll_wait_seconds": 5,
            "access_token_file": str(write_private(who.folder / "signals", ACCESS_TOKEN.encode())),
            **authority,
        },
    }
    tables["database"]["password_file"] = str(server.password_file)
    return tables


def _urls(proxies: Mapping[str, FaultProxy]) -> dict[str, str]:
    """Returns by which URL each proxy that speaks TLS is reached."""
    return {name: f"https://{proxy.address}" for name, proxy in proxies.items()}
