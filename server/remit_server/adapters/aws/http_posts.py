"""Posts a form and returns the whole answer: one request at a time on each connection, connections kept for the next.

An HTTP client that can do everything takes 3,400 steps of the interpreter for this. Here it is one protocol: a request
is one write, and its answer one future.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, TypeAlias, cast
from urllib.parse import urlsplit

from remit_server.adapters.aws.http_answer import Answer, MalformedHttp, answer_in

CONNECT_SECONDS: Final = 3.0
KEEP_ALIVE_SECONDS: Final = 15.0
_PORTS: Final = {"https": 443, "http": 80}
_Place: TypeAlias = tuple[str, str, int]


class NotReached(OSError):  # noqa: N818 - named for what it says
    """There is no connection, so nothing was sent; the text is the kind of failure."""


class NotTrusted(NotReached):
    """The certificate is not one that is trusted, or TLS failed in another way."""


class BrokenOff(OSError):  # noqa: N818 - named for what it says
    """The request was sent, and no whole answer came: it may have been acted upon."""


class Posts:
    """Posts to any place over TLS of this context; `most` is how many bytes an answer may have."""

    def __init__(self, context: ssl.SSLContext, *, most: int) -> None:
        self._context = context
        self._most = most
        self._idle: dict[_Place, deque[_Connection]] = {}

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Returns the answer; raises NotReached, NotTrusted or BrokenOff. Who waits no longer ends the connection.

        Raises ValueError for a header that would not stay one.
        """
        parts = urlsplit(url)
        request = _request(parts.netloc, parts.path or "/", headers, body)
        place = (parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
        connection = self._kept(place) or await self._connected(place)
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.end()
            raise
        if answer.persists:
            connection.since = time.monotonic()
            self._idle.setdefault(place, deque()).append(connection)
        else:
            connection.end()
        return answer

    def close(self) -> None:
        """Ends the connections that nothing is asked on."""
        for idle in self._idle.values():
            for connection in idle:
                connection.end()
        self._idle.clear()

    def _kept(self, place: _Place) -> "_Connection | None":
        """Returns the connection used last, None where there is none; those used too long ago are ended."""
        idle, oldest = self._idle.get(place, ()), time.monotonic() - KEEP_ALIVE_SECONDS
        while idle and (idle[0].since < oldest or idle[0].is_over):
            idle.popleft().end()
        while idle:
            connection = idle.pop()
            if not connection.is_over:
                return connection
        return None

    async def _connected(self, place: _Place) -> "_Connection":
        """Returns a new connection."""
        scheme, host, port = place
        loop = asyncio.get_running_loop()
        context = self._context if scheme == "https" else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._most), host, port, ssl=context, server_hostname=host if context else None
                )
        except ssl.SSLError as wrong:
            raise NotTrusted(type(wrong).__name__) from None
        except (OSError, TimeoutError, UnicodeError) as wrong:
            raise NotReached(type(wrong).__name__) from None
        return connection


def _request(host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Returns the bytes of a request."""
    own = {"host": host, "accept-encoding": "identity", "user-agent": "remit-server", "content-length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {**own, **headers}.items())]
    if not all(map(str.isprintable, lines)):
        raise ValueError("a header holds what would end it")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


class _Connection(asyncio.Protocol):
    """One connection: an answer at a time, and nothing that was not asked for."""

    def __init__(self, most: int) -> None:
        self.since = 0.0
        self.is_over = False
        self._most = most
        self._data = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> Answer:
        """Sends a request and returns its answer; raises BrokenOff."""
        if self._transport is None or self.is_over:
            raise BrokenOff("the connection is over")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None
            self._data.clear()

    def end(self) -> None:
        """Ends the connection at once."""
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Is told of the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Takes what came; what comes without having been asked for ends the connection."""
        if self._answer is None or self._answer.done():
            self.end()
            return
        self._data += data
        self._look(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives an answer that ends with the connection; any other was broken off."""
        self.is_over = True
        if self._answer is None or self._answer.done():
            return
        if exc is None:
            self._look(ended=True)
        else:
            self._answer.set_exception(BrokenOff(type(exc).__name__))

    def _look(self, *, ended: bool) -> None:
        """Gives the answer once it is whole."""
        answer = cast("asyncio.Future[Answer]", self._answer)
        try:
            found = answer_in(self._data, ended=ended, most=self._most)
        except MalformedHttp as wrong:
            answer.set_exception(BrokenOff(str(wrong)))
        else:
            if found is not None:
                answer.set_result(found)
