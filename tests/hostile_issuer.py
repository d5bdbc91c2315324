"""An issuer's web server that misbehaves on purpose, over real TLS on loopback: no honest one drips or redirects."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from tests.token_forge import usual_key_set

from remit_sandbox.certificates import Authority

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HostileIssuer:
    """Serves `/keys` honestly and everything else as badly as its path says; counts what it was asked."""

    def __init__(self, authority: Authority) -> None:
        self.ca_file: Path = authority.bundle_path
        self.asked: list[str] = []
        self.sent_bytes = 0
        self.dripped = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def application(self) -> web.Application:
        application = web.Application()
        for path, handler in self._handlers().items():
            application.router.add_get(path, self._counted(handler))
        return application

    def _handlers(self) -> dict[str, Handler]:
        return {
            "/keys": self._honest,
            "/redirect/metadata": _redirect("http://169.254.169.254/latest/meta-data/"),
            "/redirect/self": _redirect("/keys"),
            "/redirect/file": _redirect("file:///etc/passwd"),
            "/status/500": _status(500),
            "/status/404": _status(404),
            "/status/204": _status(204),
            "/drip": self._drip,
            "/drip/headers": self._stall,
            "/huge": self._huge,
            "/huge/declared": self._huge_declared,
            "/gzip": self._gzip,
        }

    def _counted(self, handler: Handler) -> Handler:
        async def counted(request: web.Request) -> web.StreamResponse:
            self.asked.append(request.path)
            return await handler(request)

        return counted

    async def _honest(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=usual_key_set(), content_type="application/json")

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        """Sends a byte, then another, and never ends."""
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            self.dripped.set()
            await asyncio.sleep(0.02)

    async def _stall(self, _: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise web.HTTPInternalServerError

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        """Sends 200 MB, chunk by chunk, as long as somebody reads."""
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3200):
            await response.write(b" " * 65536)
            self.sent_bytes += 65536
        return response

    async def _huge_declared(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(200 * 1024 * 1024)})
        await response.prepare(request)
        await response.write(b" " * 65536)
        await asyncio.Event().wait()
        return response

    async def _gzip(self, _: web.Request) -> web.StreamResponse:
        bomb = gzip.compress(b" " * 10_000_000)
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})


def _redirect(target: str) -> Handler:
    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    return redirect


def _status(status: int) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    return answer


@asynccontextmanager
async def hostile_issuer(authority: Authority, names: tuple[str, ...] = ("127.0.0.1",)) -> AsyncIterator[HostileIssuer]:
    """Runs a hostile issuer with a certificate of the authority for these names."""
    issuer = HostileIssuer(authority)
    pair = authority.issue_server(names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    runner = web.AppRunner(issuer.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    issuer.port = runner.addresses[0][1]
    try:
        yield issuer
    finally:
        await runner.cleanup()
