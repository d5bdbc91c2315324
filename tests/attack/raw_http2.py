"""HTTP/2 as an attacker writes it: any header and any frame, over real TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

ISSUE = "/remit.v1.CredentialService/IssueCredentials"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Headers = Sequence[tuple[bytes, bytes]]


class Listening(Protocol):
    """Something that listens at `host:port` with a certificate of these authorities (PEM)."""

    @property
    def address(self) -> str: ...

    @property
    def roots(self) -> bytes: ...


@dataclass
class Answer:
    """What came back on one stream; `reset` is the code of a RST_STREAM or GOAWAY that ended it."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    over: bool = False

    @property
    def status(self) -> str:
        """The gRPC status as a number, or how else it ended."""
        if "grpc-status" in self.headers:
            return self.headers["grpc-status"]
        return f"reset {self.reset}" if self.reset is not None else f"http {self.headers.get(':status')}"


class RawConnection:
    """One TLS connection that speaks HTTP/2 without checking a thing it sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        self.answers: dict[int, Answer] = {}
        self.gone = False
        self._settled = False

    async def begin(self) -> None:
        """Sends the preface with ordinary settings, and waits until both sides have acknowledged the other's."""
        self.h2.initiate_connection()
        await self.flush()
        while not (self._settled or self.gone):
            await self.receive()

    async def settle(self, **settings: int) -> None:
        """Changes settings by their names in `SettingCodes`, and waits until the server has acknowledged them."""
        self._settled = False
        self.h2.update_settings({h2.settings.SettingCodes[name.upper()]: value for name, value in settings.items()})
        await self.flush()
        while not (self._settled or self.gone):
            await self.receive()

    async def flush(self) -> None:
        """Sends what the protocol machine has to say; a connection that the other side closed says nothing."""
        await self.send(self.h2.data_to_send())

    async def send(self, raw: bytes) -> None:
        """Sends bytes as they are, unless the other side has hung up."""
        if self.gone:
            return
        try:
            self._writer.write(raw)
            await self._writer.drain()
        except OSError:
            self.gone = True

    def open_stream(self, headers: Headers, *, end: bool = False) -> int:
        """Starts a stream with these headers and returns its number; `flush` sends it."""
        number = self.h2.get_next_available_stream_id()
        self.answers[number] = Answer()
        self.h2.send_headers(number, headers, end_stream=end)
        return number

    async def call(self, headers: Headers, message: bytes | None, *, framed: bool = True) -> Answer:
        """Makes one call and returns its answer; `framed` puts gRPC's five bytes before the message."""
        number = self.open_stream(headers, end=message is None)
        if message is not None:
            raw = framed_message(message) if framed else message
            if not raw:
                self.h2.send_data(number, b"", end_stream=True)
            while raw:
                await self.flush()
                room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
                if self.answers[number].over or self.gone:
                    break
                if room == 0:
                    await self.receive()
                    continue
                self.h2.send_data(number, raw[:room], end_stream=len(raw) <= room)
                raw = raw[room:]
        await self.flush()
        return await self.answer(number)

    async def answer(self, number: int) -> Answer:
        """Returns the answer of a stream once it is over."""
        while not self.answers[number].over and not self.gone:
            await self.receive()
        return self.answers[number]

    async def receive(self) -> None:
        """Reads once and notes what came."""
        try:
            raw = await self._reader.read(65536)
        except OSError:
            raw = b""
        if not raw:
            self.gone = True
            return
        try:
            events = self.h2.receive_data(raw)
        except h2.exceptions.ProtocolError:  # an answer to what was sent past the protocol machine
            self.gone = True
            return
        for event in events:
            self._note(event)
        await self.flush()

    async def drain(self) -> None:
        """Reads and forgets what comes until the other side hangs up."""
        while not self.gone:
            try:
                self.gone = not await self._reader.read(65536)
            except OSError:
                self.gone = True

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                answer = self.answers[event.stream_id or 0]
                answer.headers |= {name.decode(): value.decode() for name, value in event.headers or ()}
            case h2.events.DataReceived():
                self.answers[event.stream_id or 0].data += event.data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case h2.events.StreamReset():
                answer = self.answers.setdefault(event.stream_id or 0, Answer())
                answer.reset, answer.over = int(event.error_code or 0), True
            case h2.events.StreamEnded():
                self.answers[event.stream_id or 0].over = True
            case h2.events.SettingsAcknowledged():
                self._settled = True
            case h2.events.ConnectionTerminated():
                self.gone = True
                for answer in self.answers.values():
                    answer.reset, answer.over = (
                        (answer.reset, True) if answer.over else (int(event.error_code or 0), True)
                    )
            case _:
                pass

    async def close(self) -> None:
        """Hangs up without a word."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def framed_message(message: bytes) -> bytes:
    """Returns a message as gRPC sends it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def headers(
    path: str | bytes = ISSUE,
    *,
    authorization: Iterable[bytes] = (b"Bearer copilot",),
    content_type: bytes | None = b"application/grpc",
    method: bytes = b"POST",
    more: Headers = (),
) -> list[tuple[bytes, bytes]]:
    """Returns the headers of the copilot's call with changes."""
    raw = path if isinstance(path, bytes) else path.encode()
    usual = [
        (b":method", method),
        (b":scheme", b"https"),
        (b":path", raw),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
    ]
    if content_type is not None:
        usual.append((b"content-type", content_type))
    return [*usual, *((b"authorization", value) for value in authorization), *more]


@asynccontextmanager
async def raw_socket(gateway: Listening, *, source: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """Opens a TLS connection to what listens, on which nothing was said yet, from a loopback address."""
    context = ssl.create_default_context(cadata=gateway.roots.decode())
    context.set_alpn_protocols(["h2"])
    host, _, port = gateway.address.rpartition(":")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=context, server_hostname="localhost", local_addr=(source, 0)
    )
    connection = RawConnection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def raw_connection(gateway: Listening, *, source: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """Opens an HTTP/2 connection to what listens, from a loopback address."""
    async with raw_socket(gateway, source=source) as connection:
        await connection.begin()
        yield connection
