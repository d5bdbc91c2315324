"""Everything around a measured gateway: certificates, issuer, tokens, policy, configuration, and its processes."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import grpc
from benchmarks.rig.accounting import Run
from benchmarks.rig.fast_sts import ACCESS_KEY_ID, SECRET_ACCESS_KEY
from benchmarks.rig.load import Plan
from grpc_health.v1 import health_pb2, health_pb2_grpc

from remit_sandbox import tethered
from remit_sandbox.certificates import Authority, KeyPair
from remit_sandbox.configuration import AGENTS, TRUST_DOMAIN, sample_policies
from remit_sandbox.issuer import LocalIssuer
from remit_sandbox.private_files import private_folder, write_private
from remit_server.adapters.policy.bundles.bundle import stamp
from remit_server.adapters.strict_yaml import strict_yaml

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
TOKENS = 256
START_SECONDS = 300.0
ROLES = ("remit-reports", "remit-data")
ACCOUNT = "111122223333"
REPORTS_READER = "reports-reader"
_CONFIGURATION = """\
[listen.mtls]
address = "{address}"
certificate_file = "{certificate}"
key_file = "{key}"
client_ca_file = "{authority}"
trust_domains = ["{trust_domain}"]

[[issuers]]
issuer = "{issuer}"
alias = "bench"
audience = "remit"
algorithms = ["RS256"]
allowed_hosts = ["127.0.0.1"]
ca_file = "{authority}"
source_claim = "email"

[[agents]]
id = "copilot"
spiffe_id = "{spiffe_id}"
client_ids = ["bench:copilot"]

{roles}
[policy]
bundle = "{bundle}"

[aws]
region = "eu-central-1"
endpoint_url = "{sts}"
ca_file = "{authority}"
access_key_id = "{access_key_id}"
secret_access_key_file = "{secret}"
requests_per_second = 600.0
burst = 1000
max_in_flight = 1024

[database]
url = "{database_url}"

[limits]
requests_per_minute = 100000
requests_per_minute_per_subject = 100000
previews_per_minute = 100000
concurrent_calls_per_actor = 512
"""
_ROLE = """\
[[roles]]
arn = "arn:aws:iam::{account}:role/{name}"
ceiling_file = "{ceiling}"
assumed_by = "user"
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that serves: its address and the process at the root of its tree."""

    address: str
    pid: int


class Process:
    """A process of the benchmark that ends with it; `lines` are what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def line(self) -> str:
        """Returns the next line it prints."""
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe
        text = (await self._process.stdout.readline()).decode().strip()
        if not text:
            raise RuntimeError("a process of the benchmark ended too early")
        return text

    async def tell(self, line: str) -> str:
        """Writes a line to it and returns its answer."""
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe
        self._process.stdin.write(f"{line}\n".encode())
        return await self.line()

    async def ended(self) -> None:
        """Returns when it has ended."""
        await self._process.wait()

    async def end(self) -> None:
        """Closes its input, asks it to end, and waits."""
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe
        self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Starts what is started in the block on one core of the machine; None leaves it free."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def started(*arguments: str, core: int | None = None, log: Path | None = None) -> Process:
    """Starts a Python process, on one core where that is said."""
    with on_core(core), log.open("ab") if log else contextlib.nullcontext() as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            limit=1 << 26,  # a run with its latencies is one line
        )
    return Process(process)


async def ran(module: str, *arguments: str, core: int | None) -> Run:
    """Returns the run that a module of the benchmark measures."""
    process = await started("-m", f"benchmarks.rig.{module}", *arguments, core=core)
    try:
        return Run.from_json(await process.line())
    finally:
        await process.end()


@dataclass(frozen=True, slots=True)
class Stage:
    """What every measured gateway shares."""

    folder: Path
    authority: Authority
    server: KeyPair
    agent: KeyPair
    issuer: LocalIssuer
    sts: Process
    sts_url: str
    tokens: Path
    load_core: int | None

    @classmethod
    @asynccontextmanager
    async def set(cls, folder: Path, *, load_core: int | None) -> AsyncIterator["Stage"]:
        """Sets everything up in a private folder, and ends it with the block."""
        private_folder(folder)
        authority = Authority.create(folder / "authority")
        server = authority.issue_server(["localhost", HOST])
        agent = authority.issue_client(AGENTS["copilot"])
        files = (str(server.certificate_path), str(server.key_path))
        async with LocalIssuer(server) as issuer:
            sts = await started("-m", "benchmarks.rig.fast_sts", *files, core=load_core)
            try:
                url = f"https://{HOST}:{await sts.line()}"
                tokens = write_private(folder / "tokens", "\n".join(_tokens(issuer)).encode())
                yield cls(folder, authority, server, agent, issuer, sts, url, tokens, load_core)
            finally:
                await sts.end()

    @asynccontextmanager
    async def gateway(
        self, *, entitlements: int = 10, workers: int = 1, core: int | None = None, database: str | None = None
    ) -> AsyncIterator[Gateway]:
        """Serves by `remit-server serve`, on a new ledger or the one named, with so many entitlements."""
        folder = private_folder(self.folder / f"gateway-{entitlements}-{workers}-{len(os.listdir(self.folder))}")  # noqa: PTH208 - a number
        address = f"{HOST}:{_free_port()}"
        url = database or f"sqlite:///{folder / 'ledger.sqlite3'}"
        config = _configuration(self, folder, address, grown_bundle(folder, entitlements), url)
        arguments = [tethered.__file__, "remit_server", "serve", "--config", str(config)]
        if workers > 1:
            arguments += ["--workers", str(workers)]
        process = await started(*arguments, core=core, log=folder / "log")
        try:
            await self._served(address, process, folder / "log")
            yield Gateway(address, process.pid)
        finally:
            await process.end()

    @asynccontextmanager
    async def echo(self, answer_bytes: int, *, core: int | None) -> AsyncIterator[Gateway]:
        """Serves the bare echo."""
        names = (self.server.certificate_path, self.server.key_path, self.authority.bundle_path)
        process = await started(
            "-m", "benchmarks.rig.echo", *(str(name) for name in names), str(answer_bytes), core=core
        )
        try:
            yield Gateway(f"{HOST}:{await process.line()}", process.pid)
        finally:
            await process.end()

    def cold_tokens(self, count: int) -> str:
        """Returns a file of so many tokens that the gateway has not seen."""
        tokens = _tokens(self.issuer, count, f"cold-{len(os.listdir(self.folder))}")  # noqa: PTH208 - a number
        return str(write_private(self.folder / f"tokens-{secrets.token_hex(4)}", "\n".join(tokens).encode()))

    def new_ledger(self) -> str:
        """Returns where a ledger may be made."""
        return f"sqlite:///{self.folder / secrets.token_hex(4)}.sqlite3"

    async def load(self, what: str, gateway: Gateway, windows: int, **more: Any) -> Run:
        """Puts a gateway under load and returns what was measured."""
        more.setdefault("tokens", str(self.tokens))
        plan = Plan(
            what=what,
            address=gateway.address,
            authority=str(self.authority.bundle_path),
            certificate=str(self.agent.certificate_path),
            key=str(self.agent.key_path),
            pid=gateway.pid,
            windows=windows,
            **more,
        )
        return await ran("load", plan.to_json(), core=self.load_core)

    async def _served(self, address: str, process: Process, log: Path) -> None:
        """Returns once the gateway's health check says that it serves; raises RuntimeError when it ends first."""
        credentials = grpc.ssl_channel_credentials(
            self.authority.bundle_path.read_bytes(),
            self.agent.key_path.read_bytes(),
            self.agent.certificate_path.read_bytes(),
        )
        ended = asyncio.create_task(process.ended())
        async with grpc.aio.secure_channel(address, credentials) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=START_SECONDS)
            answered = asyncio.ensure_future(_answered(answer))
            await asyncio.wait({ended, answered}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not answered.done() or answered.exception() is not None:
                answered.cancel()
                raise RuntimeError(f"the gateway does not serve:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text()[-2000:]


async def _answered(call: Any) -> None:
    """Returns when a call is answered."""
    await call


def _tokens(issuer: LocalIssuer, count: int = TOKENS, name: str = "user") -> Iterator[str]:
    """Yields tokens of so many people, each a member of two groups of the default policy."""
    for number in range(count):
        yield issuer.token(f"{name}-{number}", client_id="copilot", groups=("analysts", "engineers"))


def grown_bundle(folder: Path, entitlements: int) -> Path:
    """Writes the default policy with a catalogue grown to so many entitlements, each of a group of its own.

    What is added is short: a data file has room for 32 MiB, and 100,000 entitlements nearly fill it.
    """
    bundle = folder / "policies"
    shutil.copytree(sample_policies(), bundle)
    data = bundle / "remit/catalog/entitlements/data.yaml"
    catalogue, _ = strict_yaml(data.read_text())
    entry = {
        **catalogue["entitlements"][REPORTS_READER],
        "description": "Reads",
        "actors": [f"spiffe://{TRUST_DOMAIN}/**"],
    }
    for number in range(entitlements - len(catalogue["entitlements"])):
        readable = {"actions": ["s3:GetObject"], "resources": [f"arn:aws:s3:::reports/{number}/*"], "conditions": []}
        catalogue["entitlements"][f"e{number}"] = {**entry, "permissions": [readable]}
        catalogue["by_group"][f"g{number}"] = [f"e{number}"]
    data.unlink()
    data.with_suffix(".json").write_text(json.dumps(catalogue, separators=(",", ":")))
    stamp(bundle)
    return bundle


def _configuration(stage: Stage, folder: Path, address: str, bundle: Path, database_url: str) -> Path:
    """Writes the gateway's configuration and returns its path."""
    roles = []
    for name in ROLES:
        policy = (resources.files("remit_sandbox") / "roles" / f"{name}.json").read_bytes()
        roles.append(_ROLE.format(account=ACCOUNT, name=name, ceiling=write_private(folder / f"{name}.json", policy)))
    text = _CONFIGURATION.format(
        address=address,
        certificate=stage.server.certificate_path,
        key=stage.server.key_path,
        authority=stage.authority.bundle_path,
        trust_domain=TRUST_DOMAIN,
        issuer=stage.issuer.url,
        spiffe_id=AGENTS["copilot"],
        roles="\n".join(roles),
        bundle=bundle,
        sts=stage.sts_url,
        access_key_id=ACCESS_KEY_ID,
        secret=write_private(folder / "secret", SECRET_ACCESS_KEY.encode()),
        database_url=database_url,
    )
    return write_private(folder / "remit.toml", text.encode())


def _free_port() -> int:
    """Returns a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
