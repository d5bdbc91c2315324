"""Sockets to a gateway that are slow on purpose: they stop in the middle of a word, or drip."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.attack.raw_http2 import PREFACE, Headers, headers
from tests.faults.rig.small_stage import SmallStage

SLOW_AGENT = "crawler"  # its calls hold places of its own, and nobody else's
_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@dataclass
class Slow:
    """Opens sockets to a gateway that stop at some point, or drip; `held` are those that are open."""

    stage: SmallStage
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    dripping: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def kinds(self) -> list[Callable[[int], Awaitable[None]]]:
        """Every way of being slow."""
        return [self.plain, self.preface, self.header, self.body]

    async def plain(self, number: int) -> None:
        """Says nothing, or a few bytes of a handshake."""
        writer = await self._open(None)
        writer.write(b"\x16\x03\x01\x02\x00\x01"[: number % 7])

    async def preface(self, number: int) -> None:
        """Stops within HTTP/2's preface."""
        writer = await self._open(self._context())
        writer.write(PREFACE[: number % len(PREFACE)])

    async def header(self, number: int) -> None:
        """Stops within the headers of a call, of which more is announced."""
        writer = await self._open(self._context())
        block = _literally(headers())
        frame = (len(block) + 64).to_bytes(3, "big") + b"\x01\x00\x00\x00\x00\x01" + block
        writer.write(PREFACE + _SETTINGS + frame[: 20 + number % (len(frame) - 20)])

    async def body(self, number: int) -> None:
        """Begins a call and sends its message byte by byte."""
        writer = await self._open(self._context())
        block = _literally(headers(authorization=()))
        call = len(block).to_bytes(3, "big") + b"\x01\x04\x00\x00\x00\x01" + block
        writer.write(PREFACE + _SETTINGS + call)
        self.dripping.append(asyncio.create_task(_drip(writer, pause=0.5 + number % 10 / 10)))

    async def close(self) -> None:
        """Hangs up everywhere."""
        for task in self.dripping:
            task.cancel()
        await asyncio.gather(*self.dripping, return_exceptions=True)
        for _, writer in self.held:
            writer.transport.abort()

    async def _open(self, context: ssl.SSLContext | None) -> asyncio.StreamWriter:
        host, _, port = self.stage.gateway.mtls.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        self.held.append((reader, writer))
        return writer

    def _context(self) -> ssl.SSLContext:
        who = self.stage.who
        context = ssl.create_default_context(cafile=str(who.authority.bundle_path))
        context.load_cert_chain(who.agents[SLOW_AGENT].certificate_path, who.agents[SLOW_AGENT].key_path)
        context.set_alpn_protocols(["h2"])
        return context


def _literally(fields: Headers) -> bytes:
    """Returns headers as HPACK literals, none of which is indexed."""
    return b"".join(b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields)


async def _drip(writer: asyncio.StreamWriter, *, pause: float) -> None:
    """Announces a message of 64 kB and sends a byte of it now and then, until the other side hangs up."""
    with contextlib.suppress(OSError):
        for byte in b"\x00\x00\x00\xff\xff" + bytes(65_535):
            writer.write(b"\x00\x00\x01\x00\x00\x00\x00\x00\x01" + bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause)
