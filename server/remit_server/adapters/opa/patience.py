"""An HTTP server's connections, bounded: in number, and in how long one may be silent before and between questions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

PATIENCE_SECONDS: Final = 10.0
MOST_CONNECTIONS: Final = 128


class ImpatientServer(web.Server):
    """Hangs up on who has not sent a whole header in time, and on the most silent one when there are too many."""

    def __init__(
        self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], patience_seconds: float
    ) -> None:
        # NOTE: aiohttp keeps a connection for an hour between two questions, and for ever before the first.
        super().__init__(answer, access_log=None, keepalive_timeout=patience_seconds, lingering_time=0.0)
        self._patience = patience_seconds
        self._silent: dict[RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Counts a connection and sets its deadline; over the bound the one that is silent longest makes room."""
        super().connection_made(handler, transport)
        deadline = asyncio.get_running_loop().call_later(self._patience, transport.abort)
        self._silent[handler] = (transport, deadline)
        if len(self.connections) > MOST_CONNECTIONS:
            eldest = next(iter(self._silent))
            self._silent[eldest][0].abort()
            self.heard(eldest)

    def heard(self, handler: RequestHandler) -> None:
        """Takes the deadline from a connection: its first header is whole."""
        _, deadline = self._silent.pop(handler, (None, None))
        if deadline is not None:
            deadline.cancel()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forgets a connection."""
        self.heard(handler)
        super().connection_lost(handler, exc)
