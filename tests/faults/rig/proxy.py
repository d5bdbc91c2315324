"""Stands between a gateway and one thing it depends on, on loopback, and does to what is said what a test tells it.

It exists because a real OPA, PostgreSQL or identity provider cannot be told to lose half of an answer. It copies bytes
and reads none of them, so one proxy serves every protocol; by TLS it serves and asks as it is told.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

_PIECE: Final = 65_536
_QUIET: Final = 0.05  # seconds without another byte: then this was the whole answer
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset


class Part(Enum):
    """How much of the answer comes through before the fault."""

    ALL = "all"
    NONE = "none"
    FEW = "few bytes"
    HALF = "half"


class End(Enum):
    """What becomes of the connection then."""

    GOES_ON = "goes on"
    CLOSES = "closes"
    RESETS = "resets"
    STALLS = "stalls"


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of what is asked from now on.

    Whether anybody listens; whether the dependency hears of it; what is said in its place (`says`, over and over where
    it is `endless`); how much of an answer comes through, how long each piece of it takes, and how it ends.
    """

    listens: bool = True
    forwards: bool = True
    says: bytes = b""
    endless: bool = False
    passes: Part = Part.ALL
    pause: float = 0.0
    piece: int = _PIECE
    end: End = End.GOES_ON


NONE: Final = Fault()


@dataclass(slots=True, eq=False)
class _Way:
    """One connection through the proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: asyncio.StreamWriter | None = None
    is_dead: bool = False  # nothing that comes on it is heard or answered any more
    is_asked: bool = False  # since the last answer

    def reset(self) -> None:
        """Hangs up on both sides, without a word to the one that asked."""
        self.is_dead = True
        end = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.writer.transport.abort()
        if self.upstream is not None:
            self.upstream.transport.abort()

    def close(self) -> None:
        """Says that nothing more comes, and hangs up."""
        self.is_dead = True
        self.writer.close()
        if self.upstream is not None:
            self.upstream.transport.abort()


@dataclass
class FaultProxy:
    """Passes on what comes to `address` to `target`, unless there is a `fault`; `asked` counts what was asked of it."""

    target: str
    serves: ssl.SSLContext | None = None
    asks: ssl.SSLContext | None = None
    port: int = 0
    fault: Fault = NONE
    asked: int = 0
    connected: int = 0
    _server: asyncio.Server | None = None
    _ways: set[_Way] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> str:
        """Where it listens, or will again."""
        return f"127.0.0.1:{self.port}"

    async def suffer(self, fault: Fault) -> None:
        """Begins a fault; what is open meets it too, at its next word."""
        self.fault, self.asked, self.connected = fault, 0, 0
        if not fault.listens:
            await self._stop_listening()
            for way in list(self._ways):
                way.reset()

    async def lift(self) -> None:
        """Ends the fault. A connection that was stalled by it stays dead, as behind a gateway that lost its state."""
        self.fault = NONE
        if self._server is None:
            await self.listen()

    async def listen(self) -> None:
        """Takes connections, at the same port as before."""
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, ssl=self.serves, reuse_address=True, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Hangs up on everybody."""
        await self._stop_listening()
        for way in list(self._ways):
            way.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running = asyncio.current_task()
        assert running is not None
        self._tasks.add(running)
        way = _Way(reader, writer)
        self._ways.add(way)
        self.connected += 1
        try:
            with contextlib.suppress(OSError, ssl.SSLError):
                await self._up(way)
        finally:
            way.close()
            self._ways.discard(way)
            self._tasks.discard(running)

    async def _up(self, way: _Way) -> None:
        """Passes on what is asked."""
        while piece := await way.reader.read(_PIECE):
            if way.is_dead:
                continue
            if not way.is_asked:
                way.is_asked, self.asked = True, self.asked + 1
            if not self.fault.forwards:
                await self._say(way, self.fault)
                continue
            upstream = way.upstream or await self._reach(way)
            upstream.write(piece)
            await upstream.drain()

    async def _reach(self, way: _Way) -> asyncio.StreamWriter:
        """Connects to the dependency, whose answers are passed on from then on."""
        host, _, port = self.target.rpartition(":")
        reader, way.upstream = await asyncio.open_connection(host, int(port), ssl=self.asks)
        task = asyncio.create_task(self._down(way, reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return way.upstream

    async def _down(self, way: _Way, reader: asyncio.StreamReader) -> None:
        """Passes on what is answered."""
        with contextlib.suppress(OSError, ssl.SSLError):
            while piece := await reader.read(_PIECE):
                way.is_asked = False
                if way.is_dead:
                    continue
                fault = self.fault
                if fault.passes is Part.HALF:
                    piece += await _rest(reader)
                await self._answer(way, fault, piece)
        if not way.is_dead:
            way.close()

    async def _say(self, way: _Way, fault: Fault) -> None:
        """Says what the dependency did not."""
        way.is_asked = False
        await self._answer(way, fault, fault.says)

    async def _answer(self, way: _Way, fault: Fault, piece: bytes) -> None:
        """Lets through what the fault leaves of an answer."""
        kept = {Part.ALL: len(piece), Part.NONE: 0, Part.FEW: 7, Part.HALF: len(piece) // 2}[fault.passes]
        whole = fault.says or piece[:kept]
        await self._send(way, fault, whole)
        while fault.endless and not way.is_dead:
            await self._send(way, fault, whole)
        match fault.end:
            case End.GOES_ON:
                pass
            case End.CLOSES:
                way.close()
            case End.RESETS:
                way.reset()
            case End.STALLS:
                way.is_dead = True

    async def _send(self, way: _Way, fault: Fault, whole: bytes) -> None:
        """Sends something at the pace of the fault."""
        for start in range(0, len(whole), fault.piece):
            await asyncio.sleep(fault.pause)
            if way.is_dead:
                return
            way.writer.write(whole[start : start + fault.piece])
            await way.writer.drain()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """Returns what else comes before the answer is over."""
    rest = b""
    with contextlib.suppress(TimeoutError):
        while piece := await asyncio.wait_for(reader.read(_PIECE), _QUIET):
            rest += piece
    return rest


@asynccontextmanager
async def fault_proxy(
    target: str, *, serves: ssl.SSLContext | None = None, asks: ssl.SSLContext | None = None
) -> AsyncIterator[FaultProxy]:
    """Runs a proxy before a target, `host:port`, for the time of the block."""
    proxy = FaultProxy(target, serves, asks)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
