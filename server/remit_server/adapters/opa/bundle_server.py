"""Serves the active bundle to OPA, which asks with its entity tag and waits for another (OPA: bundle service API)."""

import asyncio
import hmac
import re
import ssl
from typing import Final

from aiohttp import web

from remit_server.adapters.opa.archive import Archive
from remit_server.adapters.opa.patience import PATIENCE_SECONDS, ImpatientServer
from remit_server.config.settings import OpaSettings

PATH: Final = "/bundles/remit.tar.gz"
MEDIA_TYPE: Final = "application/vnd.openpolicyagent.bundles"  # tells OPA that long polling works here
LONGEST_WAIT: Final = 300.0
MOST_POLLS: Final = 64
_GRACE_SECONDS: Final = 1.0
_WAIT: Final = re.compile(r"(?:^|[;,\s])wait=([0-9]{1,6})(?=$|[;,\s])", re.ASCII)


class BundleServer:
    """Gives one archive at a time to whoever shows the token, if one is asked for."""

    def __init__(self, settings: OpaSettings, archive: Archive, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._settings = settings
        self._archive = archive
        self._changed = asyncio.Event()
        self._polls = 0
        self._is_closing = False
        self._patience = patience_seconds
        self._listening: asyncio.Server | None = None
        self._connections: ImpatientServer | None = None

    async def start(self, *, share_port: bool) -> str:
        """Listens, and returns the address as `host:port`; with `share_port` other processes may listen there too.

        Raises RuntimeError when the address cannot be had.
        """
        self._connections = ImpatientServer(self._answer, self._patience)
        host, _, port = self._settings.bundle_address.rpartition(":")
        tls = self._tls()
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                self._connections,
                host.strip("[]"),
                int(port),
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else self._patience,
                reuse_port=share_port or None,
            )
        except OSError as wrong:
            why = f"policy.opa.bundle_address {self._settings.bundle_address} cannot be listened on ({wrong.strerror})"
            raise RuntimeError(f"{why}; OPA could not pull the bundle: free the address, or name another") from wrong
        shown, number = self._listening.sockets[0].getsockname()[:2]
        return f"[{shown}]:{number}" if ":" in shown else f"{shown}:{number}"

    @property
    def archive(self) -> Archive:
        """What is served now."""
        return self._archive

    def serve(self, archive: Archive) -> None:
        """Serves another archive from now on, at once to those who wait."""
        self._archive = archive
        self._wake()

    async def close(self) -> None:
        """Ends every poll and stops listening."""
        self._is_closing = True
        self._wake()
        if self._listening is not None:
            self._listening.close()
        if self._connections is not None:
            self._connections.pre_shutdown()
            await self._connections.shutdown(_GRACE_SECONDS)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        """Answers who asks for the bundle and shows the token; everybody else is turned away and hung up on."""
        if self._connections is not None:
            self._connections.heard(request.protocol)
        if request.path != PATH:
            refusal = web.Response(status=404)
        elif request.method != "GET":
            refusal = web.Response(status=405, headers={"Allow": "GET"})
        elif not self._is_known(request):
            refusal = web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        else:
            return await self._bundle(request)
        refusal.force_close()
        return refusal

    async def _bundle(self, request: web.BaseRequest) -> web.Response:
        """Answers with the archive, or 304 when OPA still holds it after the time it is willing to wait."""
        # NOTE: OPA may list the tags of bundles it held before; only the first is the one it holds.
        held = request.headers.get("If-None-Match", "").partition(",")[0].strip()
        wait = _WAIT.search(request.headers.get("Prefer", ""))
        if wait is not None and held == self._archive.etag:
            if self._polls >= MOST_POLLS:
                return web.Response(status=503, headers={"Retry-After": "1"})
            await self._change(held, min(float(wait.group(1)), LONGEST_WAIT))
        archive = self._archive
        headers = {"ETag": archive.etag, "Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
        if held == archive.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=archive.content, headers=headers)

    async def _change(self, held: str, seconds: float) -> None:
        """Returns when another archive is served, when the time is over, or when the server closes."""
        self._polls += 1
        try:
            async with asyncio.timeout(seconds):
                while held == self._archive.etag and not self._is_closing:
                    await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self._polls -= 1

    def _wake(self) -> None:
        """Wakes everyone who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _is_known(self, request: web.BaseRequest) -> bool:
        """Says whether the caller shows the token, where one is asked for."""
        token = self._settings.bundle_token
        if token is None:
            return True
        shown = [value.encode("utf-8", "surrogateescape") for value in request.headers.getall("Authorization", [])]
        return len(shown) == 1 and hmac.compare_digest(shown[0], f"Bearer {token.reveal()}".encode())

    def _tls(self) -> ssl.SSLContext | None:
        """Returns the listener's TLS, or None on loopback."""
        pair = self._settings.bundle_key_pair
        if pair is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*pair)
        return context
