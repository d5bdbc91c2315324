"""The HTTP server: one listener, exact paths, bounds on everything, and nothing that is not on the list."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from aiohttp import web

from remit_server.config.settings import HttpListenerSettings
from remit_server.transport.http.certificates import FollowedCertificate
from remit_server.transport.http.connections import Connections, Patience

LOOK_EVERY: Final = timedelta(seconds=2)  # whether the certificate has changed
_BACKLOG: Final = 256
_OUT_OF_SOCKETS_SECONDS: Final = 1.0
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on
_log = logging.getLogger(__name__)


class HttpServer:
    """Serves routes on one listener until it is stopped.

    A route's path is matched whole and literally: it has no variable part. Its handler gets a request without an
    application, whose body is at most 64 KiB, and 15 seconds for everything; GET answers HEAD, too. What it raises is a
    500 without a word, save aiohttp's HTTP exceptions, of which the status goes out.
    """

    def __init__(
        self,
        listener: HttpListenerSettings,
        routes: Sequence[web.RouteDef],
        *,
        patience: Patience | None = None,
        look_every: timedelta = LOOK_EVERY,
    ) -> None:
        self._listener = listener
        self._routes = _by_path(routes)
        self._patience = patience or Patience()
        self._look_every = look_every
        self._connections: Connections | None = None
        self._certificate: FollowedCertificate | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sockets: list[socket.socket] = []

    async def start(self) -> str:
        """Listens, and returns the address as `host:port`.

        Raises RuntimeError when it cannot, OSError when its certificate cannot be read.
        """
        if self._listener.key_pair is not None:
            self._certificate = await asyncio.to_thread(FollowedCertificate, *self._listener.key_pair)
            self._tasks.append(asyncio.create_task(self._certificate.follow(self._look_every)))
        self._connections = Connections(self._answer, self._patience)
        host, _, port = self._listener.address.rpartition(":")
        try:
            for family, bare in await _meant_by(host.strip("[]")):
                self._sockets.append(_listening(family, bare, int(port)))
                port = str(self._sockets[-1].getsockname()[1])
        except OSError as error:
            await self.stop(timedelta())
            where = f"{self._listener.name}.address {self._listener.address}"
            why = f"{where} cannot be listened on ({error.strerror})"
            raise RuntimeError(f"{why}: free the address, or name another") from error
        self._tasks += [asyncio.create_task(self._accept(listening)) for listening in self._sockets]
        return f"{host}:{port}"

    async def stop(self, grace: timedelta) -> None:
        """Listens no longer, and lets running requests end for `grace`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for listening in self._sockets:
            listening.close()
        self._tasks, self._sockets = [], []
        if self._connections is not None:
            await self._connections.hang_up(grace.total_seconds())

    async def _accept(self, listening: socket.socket) -> None:
        """Takes connections until it is cancelled."""
        loop = asyncio.get_running_loop()
        told = False
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptor is free, say: it passes
                if not told:
                    _log.warning("a connection to the HTTP listener could not be taken: %s", error.strerror)
                told = True
                await asyncio.sleep(_OUT_OF_SOCKETS_SECONDS)
                continue
            told = False
            if self._connections is not None:
                connection.setblocking(False)  # noqa: FBT003 - the socket's own signature
                self._connections.accept(connection, self._tls)

    @property
    def _tls(self) -> ssl.SSLContext | None:
        """What the next connection is served with."""
        return None if self._certificate is None else self._certificate.context

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answers one request; who is turned away is hung up on."""
        try:
            async with asyncio.timeout(self._patience.request):
                response = await self._routed(request)
        except web.HTTPException as refused:
            response = _turned_away(refused.status)
        except TimeoutError:
            response = _turned_away(408)
        except Exception as error:  # noqa: BLE001 - no fault of a route may end the server, or tell its caller anything
            _log.error("the answer at %s failed: %s", request.path, type(error).__name__)
            response = _turned_away(500)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response

    async def _routed(self, request: web.Request) -> web.StreamResponse:
        """Has the route answer, or says that there is none."""
        methods = self._routes.get(request.path)
        if methods is None:
            return _turned_away(404)
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            refusal = _turned_away(405)
            refusal.headers["Allow"] = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
            return refusal
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        response: object = await route.handler(request)
        if not isinstance(response, web.StreamResponse):
            raise TypeError("a route must answer with a response")
        return response


def _by_path(routes: Sequence[web.RouteDef]) -> dict[str, dict[str, web.RouteDef]]:
    """Returns the routes by path and method; raises ValueError for one that cannot be matched literally."""
    found: dict[str, dict[str, web.RouteDef]] = {}
    for route in routes:
        if "{" in route.path or not route.path.startswith("/") or route.method in {"*", "HEAD"}:
            raise ValueError(f"not an exact path and method: {route.method} {route.path}")
        if found.setdefault(route.path, {}).setdefault(route.method, route) is not route:
            raise ValueError(f"a path twice: {route.method} {route.path}")
    return found


def _turned_away(status: int) -> web.Response:
    """Returns an answer of that status and no words, after which the connection ends."""
    response = web.Response(status=status)
    response.force_close()
    return response


async def _meant_by(host: str) -> list[tuple[int, str]]:
    """Returns the families and addresses to listen on, as those who hold the port for us see it (workers/ports.py)."""
    if host in _WILDCARDS:
        return [(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(place[0])) for family, _, _, _, place in found))


def _listening(family: int, host: str, port: int) -> socket.socket:
    """Returns a socket that listens on a port shared with other workers; raises OSError."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and host == "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.setblocking(False)  # noqa: FBT003 - the socket's own signature
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening
