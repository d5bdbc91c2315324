"""A server that answers as OPA does, or as no OPA should: the real one cannot be made to lie, drip or cut off."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.policy_bundles import NO, YES

from remit_server.adapters.opa.engine import OpaLimits, OpaServer
from remit_server.adapters.opa.nonce import served_revision
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.config.settings import OpaSettings

Script = Callable[["FakeOpa", asyncio.StreamWriter], Awaitable[None]]
NONCE = "5" * 32  # of the start of every gateway whose OPA is not a real one
# Generous where time is not what is tested: the machine may be busy.
PATIENT = OpaLimits(decision_seconds=30.0, wait_seconds=30.0)
HASTY = OpaLimits(decision_seconds=0.25, wait_seconds=30.0)


@dataclass
class FakeOpa:
    """Says that it decides by one revision; `script` replaces its next answers."""

    revision: str
    version: str = "1.22.2"
    url: str = ""
    script: Script | None = None
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    def provenance(self) -> dict[str, Any]:
        """Returns what OPA says of itself."""
        build = {"build_commit": "", "build_timestamp": "", "build_hostname": ""}
        return {"version": self.version, **build, "bundles": {"remit": {"revision": self.revision}}}

    def body(self, result: Any = YES, **more: Any) -> dict[str, Any]:
        """Returns a whole answer, a yes unless another result is given."""
        return {"result": result, "provenance": self.provenance(), **more}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one question after the other on a connection."""
        self.open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(line for line in head.lower().splitlines() if line.startswith("content-length:"))
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(int(length.partition(":")[2])))
                self.asked.set()
                if self.script is not None:
                    await self.script(self, writer)
                    await writer.drain()
                    break  # what follows such an answer is anyone's guess
                question = json.loads(self.bodies[-1])["input"]
                said = self.body(YES if question["task"]["labels"].get("do") == "allow" else NO)
                writer.write(http(said, "200 OK", "Connection: keep-alive"))
                await writer.drain()
        writer.close()
        self.open.discard(writer)


def http(body: Any, status: str = "200 OK", *headers: str) -> bytes:
    """Returns an HTTP answer; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}"]
    for usual in (_JSON, "Connection: close"):
        name = usual.partition(":")[0]
        lines += [] if any(one.startswith(name) for one in headers) else [usual]
    lines += headers
    return "\r\n".join([*lines, "", ""]).encode() + content


_JSON = "Content-Type: application/json"


def says(answer: bytes) -> Script:
    """Returns a script that writes these bytes, then hangs up."""

    async def script(_: FakeOpa, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return script


@asynccontextmanager
async def fake_opa(revision: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeOpa]:
    """Runs one on a free port of loopback: it has pulled the bundle of this digest from the gateway under test."""
    fake = FakeOpa(served_revision(revision, NONCE))
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    fake.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield fake
    finally:
        server.close()
        for writer in tuple(fake.open):
            writer.transport.abort()


def settings_for(url: str, bundle_address: str = "127.0.0.1:0", **more: Any) -> OpaSettings:
    """Returns the settings for an OPA at this address."""
    return OpaSettings(url, bundle_address, **{"start_timeout": timedelta(seconds=30), **more})


@asynccontextmanager
async def engine_with(
    fake: FakeOpa, bundle: Bundle, limits: OpaLimits = PATIENT, **more: Any
) -> AsyncIterator[OpaServer]:
    """Starts the engine on a fake that behaves so far."""
    clock = {"monotonic": more.pop("monotonic")} if "monotonic" in more else {}
    engine = await OpaServer.start(bundle, settings_for(fake.url, **more), limits, nonce=NONCE, **clock)
    try:
        yield engine
    finally:
        await engine.close()
