"""The connections of the HTTP listener, bounded: in number, in silence, in how long one request may take."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

MAX_BODY: Final = 64 * 1024
MAX_LINE, MAX_HEADER, MAX_HEADERS = 2048, 8190, 48
MOST_CONNECTIONS: Final = 256

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds.

    For TLS and a first whole header together, and between requests (`silent`); for a request to be read and answered
    (`request`); for its answer to be taken (`taken`).
    """

    silent: float = 10.0
    request: float = 15.0
    taken: float = 15.0


class Request(web.Request):
    """A request whose answer does not tell which software it is from."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers.pop("Server", None)


class _Handler(RequestHandler):
    """Speaks HTTP on one connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Turns away what is no HTTP. NOTE: aiohttp logs it with a traceback, and repeats it in its answer."""
        del request, exc, message
        response = web.Response(status=status)
        response.force_close()
        return response


class Connections(web.Server):
    """Serves accepted connections. When there are too many, one makes room: who never said anything goes first."""

    def __init__(self, answer: Answer, patience: Patience, *, most: int = MOST_CONNECTIONS) -> None:
        super().__init__(
            self._heard_and_answered,  # type: ignore[arg-type] # what `_request` makes
            request_factory=self._request,
            access_log=None,
            keepalive_timeout=patience.silent,
            lingering_time=0.0,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            auto_decompress=False,  # NOTE: a small body must not become a large one
        )
        self._answer = answer
        self._patience = patience
        self._most = most
        self._arriving: dict[asyncio.Task[None], None] = {}  # the eldest first
        self._silent: dict[RequestHandler, None] = {}  # likewise: no whole header came yet
        self._held: dict[RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}  # by their last header

    def __call__(self) -> RequestHandler:
        """Returns the protocol of one more connection."""
        return _Handler(self, loop=asyncio.get_running_loop(), **self._kwargs)

    def accept(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Begins to serve a connection."""
        if len(self._arriving) + len(self._held) >= self._most:
            self._make_room()
        arriving = asyncio.get_running_loop().create_task(self._begin(connection, tls))
        self._arriving[arriving] = None
        arriving.add_done_callback(self._arrived)

    async def hang_up(self, grace: float) -> None:
        """Ends idle connections at once, and those at work when they are done or after `grace` seconds."""
        for arriving in list(self._arriving):
            arriving.cancel()
        self.pre_shutdown()
        await self.shutdown(grace)

    async def _begin(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Makes the connection one of HTTP, by way of TLS where there is a context."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self, connection, ssl=tls, ssl_handshake_timeout=None if tls is None else self._patience.silent
            )
        except BaseException:
            connection.close()
            raise

    def _arrived(self, arriving: "asyncio.Task[None]") -> None:
        """Forgets the handshake; how a stranger failed at it is nobody's concern."""
        self._arriving.pop(arriving, None)
        if not arriving.cancelled():
            arriving.exception()

    def _make_room(self) -> None:
        """Hangs up on one: who is silent longest, or else begins TLS, or else whose last header is oldest.

        So strangers who hold places, idle or with half a body, make room for each other before others do.
        """
        if self._arriving and not self._silent:
            arriving = next(iter(self._arriving))
            del self._arriving[arriving]
            arriving.cancel()
            return
        eldest = next(iter(self._silent or self._held))
        transport, _ = self._held[eldest]
        self._forget(eldest)
        transport.abort()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Counts a connection, and has it hung up on unless a whole header comes soon."""
        super().connection_made(handler, transport)
        self._silent[handler] = None
        self._hold(handler, transport, self._patience.silent)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forgets a connection."""
        self._forget(handler)
        super().connection_lost(handler, exc)

    def _hold(self, handler: RequestHandler, transport: asyncio.Transport, seconds: float) -> None:
        """Counts a connection as heard last, for so many seconds at most."""
        self._held[handler] = transport, asyncio.get_running_loop().call_later(seconds, transport.abort)

    def _forget(self, handler: RequestHandler) -> None:
        """Counts a connection no longer."""
        self._silent.pop(handler, None)
        _, deadline = self._held.pop(handler, (None, None))
        if deadline is not None:
            deadline.cancel()

    async def _heard_and_answered(self, request: web.Request) -> web.StreamResponse:
        """Answers; the connection lives until the answer is taken, or is idle, or the next request comes."""
        handler, transport = request.protocol, request.transport
        if handler in self._held and transport is not None:
            self._forget(handler)
            # aiohttp ends an idle connection itself, sooner; this one is for who does not take an answer.
            self._hold(handler, transport, self._patience.request + self._patience.taken)
        return await self._answer(request)

    def _request(self, message: object, payload: object, protocol: object, writer: object, task: object) -> web.Request:
        """Returns a request as the routes get it, whose body is bounded."""
        made: web.Request = Request(
            message,  # type: ignore[arg-type] # aiohttp's own types, which it does not export
            payload,  # type: ignore[arg-type]
            protocol,  # type: ignore[arg-type]
            writer,  # type: ignore[arg-type]
            task,  # type: ignore[arg-type]
            asyncio.get_running_loop(),
            client_max_size=MAX_BODY,
        )
        return made
