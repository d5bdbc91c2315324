"""Asks a bundle server for its bundle: one host, no redirect, every wait and every size bounded (8-threats.md O3)."""

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from remit_server.adapters.identity.fetch_failures import FetchFailed, fetch_failure
from remit_server.adapters.identity.https_fetch import CheckedResolver, Resolve, check_address, resolve_by_system
from remit_server.adapters.policy.bundles.archive import MAX_ARCHIVE_BYTES
from remit_server.config.policy_settings import BundleServerSettings

LONG_POLLING: Final = "application/vnd.openpolicyagent.bundles"
HEADER_SECONDS: Final = 10.0
BODY_SECONDS: Final = 60.0
_OK, _NOT_MODIFIED = 200, 304
_CHUNK: Final = 64 * 1024
_ETAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,256}"')


@dataclass(frozen=True, slots=True)
class BundleAnswer:
    """What the server says: an archive, or None where what was held is what it has.

    `etag` names the archive, empty where the server gives none; `waits` says that it lets clients wait for a change.
    """

    archive: bytes | None = field(repr=False)
    etag: str
    waits: bool


@dataclass(frozen=True, slots=True)
class BundleFetch:
    """Asks the one URL of the settings. Addresses are checked as those of key sets are (https_fetch.py).

    `header_seconds` bound the time until the answer begins, beside what the server was told to wait; `body_seconds`
    the time from then to its end.
    """

    settings: BundleServerSettings
    header_seconds: float = HEADER_SECONDS
    body_seconds: float = BODY_SECONDS
    max_bytes: int = MAX_ARCHIVE_BYTES
    resolve: Resolve = field(default=resolve_by_system, repr=False)

    async def __call__(self, etag: str = "", *, wait_seconds: int = 0) -> BundleAnswer:
        """Returns what the server has; raises FetchFailed, whose text holds nothing of what the server sent."""
        host = urlsplit(self.settings.url).hostname or ""
        try:
            return await self._ask(host, etag, wait_seconds)
        except TimeoutError:
            raise FetchFailed(
                f"`{host}` gave no whole answer in time: see its load, and routes and firewalls"
            ) from None
        except aiohttp.ClientError as wrong:
            raise fetch_failure(wrong, host, self.settings.ca_file) from wrong
        except (OSError, ValueError) as wrong:
            raise FetchFailed("the host or its address cannot be read") from wrong

    async def _ask(self, host: str, etag: str, wait_seconds: int) -> BundleAnswer:
        """Asks once, without cookies, proxies, redirects or decompression."""
        check_address(host, private_network=self.settings.private_network)
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self.resolve, private_network=self.settings.private_network),
            ssl=self._trust(),
            use_dns_cache=False,
            force_close=True,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,  # NOTE: a small body must not become a large one
            timeout=aiohttp.ClientTimeout(total=None),  # the deadlines stand around all of this
        ) as session:
            asking = session.get(self.settings.url, allow_redirects=False, headers=self._headers(etag, wait_seconds))
            async with asyncio.timeout(self.header_seconds + wait_seconds) as deadline, asking as answer:
                deadline.reschedule(asyncio.get_running_loop().time() + self.body_seconds)
                return await self._read(answer, etag)

    async def _read(self, answer: aiohttp.ClientResponse, etag: str) -> BundleAnswer:
        """Returns what an answer means; raises FetchFailed for every status that is none of the two."""
        waits = answer.content_type == LONG_POLLING
        if answer.status == _NOT_MODIFIED and etag:
            return BundleAnswer(None, etag, waits)
        if answer.status != _OK:
            raise FetchFailed(
                f"the answer has HTTP status {answer.status}, not 200: {_STATUS.get(answer.status, _URL)}"
            )
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchFailed("the answer is compressed once more: have the archive served without Content-Encoding")
        named = answer.headers.get("ETag", "")
        return BundleAnswer(await self._body(answer), named if _ETAG.fullmatch(named) else "", waits)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        """Returns the body, reading no further than its bound."""
        body = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self.max_bytes:
                raise FetchFailed(f"the answer is longer than {self.max_bytes} bytes: a bundle may not be larger")
        return bytes(body)

    def _headers(self, etag: str, wait_seconds: int) -> dict[str, str]:
        """Returns what is sent along: what is held, and how long the server may wait for another (OPA's bundle API)."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "remit"}
        if self.settings.token is not None:
            headers["Authorization"] = f"Bearer {self.settings.token.reveal()}"
        if etag:
            headers["If-None-Match"] = etag
        headers["Prefer"] = f"modes=snapshot;wait={wait_seconds}" if wait_seconds else "modes=snapshot"
        return headers

    def _trust(self) -> ssl.SSLContext:
        """Returns a context that checks certificate and host name, from TLS 1.2 on."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.settings.ca_file)
        except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
            raise FetchFailed(f"ca_file {self.settings.ca_file} cannot be read as PEM certificates") from wrong
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


_URL: Final = "correct policy.bundle_server.url (redirects are not followed)"
_STATUS: Final = {
    401: "the server does not know the token: correct policy.bundle_server.token_file",
    403: "the server does not let this token have the bundle: give it that right",
}
