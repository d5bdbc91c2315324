"""The gateway's figures over HTTP: `/metrics`, for whoever may see them."""

import asyncio
import hmac
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web

from remit_server.domain.secret import Secret

PATH: Final = "/metrics"
_MOST_ACCEPT: Final = 1024  # characters; a scraper's own are some two hundred


class TellFigures(Protocol):
    """Tells the figures."""

    def __call__(self, accept: str, /) -> tuple[bytes, str]:
        """Returns the page in a format that is accepted, and its content type; it takes some milliseconds."""
        ...


def metrics_routes(tell: TellFigures, look: Callable[[], None], token: Secret | None) -> list[web.RouteDef]:
    """Returns the route of the figures, one page at a time; with a token for those who show it, else for everybody.

    `look` has this worker tell what it is at, first.
    """
    one_at_a_time = asyncio.Lock()

    async def serve(request: web.Request) -> web.StreamResponse:
        if token is not None and not _shows(request, token):
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        async with one_at_a_time:
            look()
            body, content_type = await asyncio.to_thread(tell, request.headers.get("Accept", "")[:_MOST_ACCEPT])
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return [web.get(PATH, serve)]


def _shows(request: web.Request, token: Secret) -> bool:
    """Says whether exactly this token is shown."""
    shown = request.headers.getall("Authorization", [])
    if len(shown) != 1:
        return False
    return hmac.compare_digest(shown[0].encode("utf-8", "surrogateescape"), f"Bearer {token.reveal()}".encode())
