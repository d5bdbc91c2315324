"""Everything a laptop needs to see Remit work: authority, OIDC issuer, local AWS, sample policy, the real gateway."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from remit_sandbox.certificates import Authority, KeyPair
from remit_sandbox.configuration import AGENTS, write_configuration
from remit_sandbox.errors import AddressTaken
from remit_sandbox.gateway_process import GatewayProcess
from remit_sandbox.issuer import LocalIssuer
from remit_sandbox.local_aws import LocalAws, find_interpreter
from remit_sandbox.private_files import private_folder
from remit_sandbox.sample_account import SampleAccount

HOST = "127.0.0.1"
_START_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox. `mtls` and `bearer` are the gateway's two addresses; `agents` the key pairs of its agents."""

    folder: Path
    authority: Authority
    issuer: LocalIssuer
    aws: LocalAws
    account: SampleAccount
    agents: Mapping[str, KeyPair]
    mtls: str
    bearer: str
    config: Path
    database: Path
    gateway: GatewayProcess


@asynccontextmanager
async def running_sandbox(
    folder: Path, *, mtls_port: int = 0, bearer_port: int = 0, before_sts: Callable[[str], str] = str
) -> AsyncIterator[Sandbox]:
    """Starts everything in a private folder and ends every process at the end of the block.

    Ports are free ones unless given. `before_sts` is given the account's URL and returns the one by which the gateway
    reaches STS: a test stands in between. Raises SandboxError with what to do when a part cannot start.
    """
    find_interpreter()  # the one part that may be missing: better known before anything is made
    folder = await asyncio.to_thread(private_folder, folder)
    authority = Authority.create(folder)
    server = authority.issue_server(["localhost", HOST])
    agents = {name: authority.issue_client(spiffe_id) for name, spiffe_id in AGENTS.items()}
    async with (
        LocalIssuer(server) as issuer,
        await LocalAws.start(folder) as aws,
    ):
        account = await aws.seed()
        database = folder / "remit.sqlite3"
        configured = partial(
            write_configuration,
            folder,
            authority=authority,
            server=server,
            issuer=issuer,
            sts_url=before_sts(aws.endpoint_url),
            aws_url=aws.endpoint_url,
            account=account,
        )
        starting = _Starting(folder / "gateway.log", authority.bundle_path, agents["copilot"], configured)
        mtls, bearer, config, gateway = await starting.on_free_ports(mtls_port, bearer_port)
        async with gateway:
            yield Sandbox(folder, authority, issuer, aws, account, agents, mtls, bearer, config, database, gateway)


@dataclass(frozen=True, slots=True)
class _Starting:
    """What the gateway is started with, at whichever ports."""

    log_path: Path
    roots: Path
    agent: KeyPair
    configured: Callable[..., Path]

    async def on_free_ports(self, mtls_port: int, bearer_port: int) -> tuple[str, str, Path, GatewayProcess]:
        """Returns both addresses, the configuration and the gateway that serves; 0 is any free port.

        Somebody else may take a port between its choice and the gateway's start: then others are chosen.
        """
        attempts = 1 if mtls_port and bearer_port else _START_ATTEMPTS
        while True:
            mtls, bearer = f"{HOST}:{mtls_port or _free_port()}", f"{HOST}:{bearer_port or _free_port()}"
            config = self.configured(mtls=mtls, bearer=bearer)
            attempts -= 1
            try:
                return mtls, bearer, config, await self._serving(config, mtls)
            except AddressTaken:
                if not attempts:
                    raise

    async def _serving(self, config: Path, mtls: str) -> GatewayProcess:
        """Returns a gateway that serves; raises SandboxError and leaves no process."""
        gateway = await GatewayProcess.start(config, self.log_path)
        try:
            await gateway.serving(mtls, self.roots.read_bytes(), self.agent)
        except BaseException:
            await gateway.stop()
            raise
        return gateway


def _free_port() -> int:
    """Returns a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
