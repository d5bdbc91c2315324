"""The gateway as a process of its own: the real `remit-server serve` on the sandbox's configuration."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from remit_sandbox import tethered
from remit_sandbox.certificates import KeyPair
from remit_sandbox.errors import AddressTaken, SandboxError
from remit_sandbox.private_files import write_private
from remit_server.adapters.child_processes import killed, started

START_SECONDS = 60.0
STOP_SECONDS = 30.0
LAST_LINES = 20
_CANNOT_BIND = "Failed to bind to address"  # grpc's words
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


class GatewayProcess:
    """A running gateway; `async with` ends it, and it ends by itself when the sandbox does."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self.log_path = log_path
        self._process = process

    @classmethod
    async def start(cls, config: Path, log_path: Path) -> Self:
        """Starts `remit-server serve --config CONFIG`; what it logs goes to `log_path`."""
        write_private(log_path, b"")
        with log_path.open("ab") as log:
            start = asyncio.create_subprocess_exec(
                *(sys.executable, tethered.__file__, "remit_server", "serve", "--config", str(config)),
                stdin=asyncio.subprocess.PIPE,  # its tether: it closes when this process ends
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                start_new_session=True,  # a Ctrl-C is for the sandbox, which then stops it in its turn
            )
            process = await started(start, killed)
        return cls(process, log_path)

    @property
    def process_id(self) -> int:
        """The id of the gateway's process."""
        return self._process.pid

    async def serving(self, address: str, roots: bytes, agent: KeyPair) -> None:
        """Returns once the gateway's own health check says SERVING; raises SandboxError when it ends or takes 60 s.

        Raises AddressTaken when it ended because somebody else has one of its ports.
        """
        credentials = grpc.ssl_channel_credentials(
            roots, agent.key_path.read_bytes(), agent.certificate_path.read_bytes()
        )
        ended = asyncio.create_task(self._process.wait())
        answer = asyncio.create_task(_healthy(address, credentials))
        try:
            await asyncio.wait({ended, answer}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            served = answer.done() and answer.exception() is None
        finally:
            ended.cancel()
            answer.cancel()
        if not served:
            last = self.log_path.read_text(encoding="utf-8").strip().splitlines()[-LAST_LINES:]
            if any(_CANNOT_BIND in line for line in last):
                raise AddressTaken(last[-1])
            told = "\n".join(f"  {line}" for line in last) or "  it said nothing"
            raise SandboxError(f"the gateway does not serve at {address}. The end of {self.log_path}:\n{told}")

    async def stop(self) -> None:
        """Asks the gateway to stop, and ends it when it does not within 30 s; may be repeated."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def _healthy(address: str, credentials: grpc.ChannelCredentials) -> None:
    """Returns once the address answers SERVING."""
    async with grpc.aio.secure_channel(address, credentials) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            request = health_pb2.HealthCheckRequest()
            answer = await health.Check(request, wait_for_ready=True, timeout=START_SECONDS)
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.1)
