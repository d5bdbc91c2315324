"""A bundle server over real HTTP or TLS on loopback that serves as a test says, well or badly."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from remit_sandbox.certificates import Authority
from remit_server.config.policy_settings import BundleServerSettings
from remit_server.domain.secret import Secret

PATH = "/bundles/remit.tar.gz"


@dataclass
class BundleWeb:
    """Serves one archive, with its entity tag, in the way that `behaviour` names; counts what it was asked."""

    archive: bytes = b""
    etag: str = '"1"'
    behaviour: str = "well"
    content_type: str = "application/gzip"
    token: str = ""
    ca_file: Path | None = None
    port: int = 0
    asked: list[web.Request] = field(default_factory=list)
    sent: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{'https' if self.ca_file else 'http'}://127.0.0.1:{self.port}{PATH}"

    def settings(self, **changes: object) -> BundleServerSettings:
        token = Secret(self.token) if self.token else None
        return BundleServerSettings(self.url, self.ca_file, token, **changes)  # type: ignore[arg-type]

    def serve(self, archive: bytes, etag: str) -> None:
        self.archive, self.etag = archive, etag
        self.changed.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        if self.behaviour.isdigit():
            return web.Response(status=int(self.behaviour), text="AKIASECRETSECRET")
        badly = {
            "redirect": self._redirect,
            "stall": self._stall,
            "half": self._half,
            "drip": self._drip,
            "huge": self._huge,
            "encoded": self._encoded,
        }
        return await badly.get(self.behaviour, self._well)(request)

    async def _redirect(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"})

    async def _stall(self, _: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise web.HTTPInternalServerError

    async def _encoded(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=self.archive, headers={"Content-Encoding": "gzip"})

    async def _well(self, request: web.Request) -> web.StreamResponse:
        held = request.headers.get("If-None-Match")
        if "wait=" in request.headers.get("Prefer", "") and held == self.etag and self.behaviour != "impatient":
            self.changed.clear()
            await self.changed.wait()
        headers = {"Content-Type": self.content_type, **({"ETag": self.etag} if self.etag else {})}
        if held is not None and held == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.archive, headers=headers)

    async def _half(self, request: web.Request) -> web.StreamResponse:
        """Promises a whole archive and hangs up in the middle."""
        response = web.StreamResponse(headers={"Content-Length": str(len(self.archive))})
        await response.prepare(request)
        await response.write(self.archive[: len(self.archive) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3200):
            await response.write(bytes(65536))
            self.sent += 65536
        return response


@asynccontextmanager
async def bundle_web(
    authority: Authority | None = None, *, make: Callable[[], BundleWeb] = BundleWeb
) -> AsyncIterator[BundleWeb]:
    """Runs the server: by TLS with a certificate of the authority, or by plain HTTP."""
    server = make()
    context = None
    if authority is not None:
        pair = authority.issue_server(("127.0.0.1",))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate_path, pair.key_path)
        server.ca_file = authority.bundle_path
    application = web.Application()
    application.router.add_get(PATH, server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
