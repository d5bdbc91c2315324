"""The documents of the gateway's own issuer over HTTP: the discovery document and the key set."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import web

# NOTE: a key that was taken out because it leaked must not be served from caches for long.
MAX_AGE: Final = timedelta(minutes=5)


class PublishingIssuer(Protocol):
    """An issuer that publishes documents below its URL."""

    @property
    def url(self) -> str:
        """The URL below which the documents are."""
        ...

    @property
    def documents(self) -> Mapping[str, Callable[[], bytes]]:
        """The path of each document below the URL, and what returns it as it is now: JSON."""
        ...


def well_known_routes(issuer: PublishingIssuer) -> list[web.RouteDef]:
    """Returns the routes that serve the issuer's documents at the path of its URL, to everybody."""
    prefix = urlsplit(issuer.url).path
    return [web.get(f"{prefix}{path}", _serving(document)) for path, document in issuer.documents.items()]


def _serving(document: Callable[[], bytes]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Returns the handler that serves a document, with a tag by which caches ask whether it has changed."""

    async def serve(request: web.Request) -> web.StreamResponse:
        body = document()
        tag = hashlib.sha256(body).hexdigest()[:32]
        headers = {"Cache-Control": f"public, max-age={int(MAX_AGE.total_seconds())}", "ETag": f'"{tag}"'}
        held = request.if_none_match or ()
        if any(each.value in {tag, "*"} for each in held):  # RFC 9110 13.1.2
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="application/json", headers=headers)

    return serve
