"""Asks an OPA server one question: opa-python-client, with the parts replaced that a security decision cannot rest on.

docs/decisions/opa-server.md tells which and why. This module imports the library, which takes half a second: import it
only where an OPA server decides.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from opa_client import AsyncOpaClient  # type: ignore[import-untyped]

from remit_server.adapters.opa.answer import Unanswered
from remit_server.adapters.rego.checks import ADMIN_ENTRYPOINT, ENTRYPOINT
from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.config.settings import OpaSettings
from remit_server.domain.decision import DecisionInput

MAX_ANSWER_BYTES: Final = 256 * 1024
_OK: Final = 200
# NOTE: with strict-builtin-errors a builtin that fails ends the decision, as it does on the embedded engine; without,
# OPA takes it for undefined and goes on.
_PARAMETERS: Final = {"provenance": "true", "strict-builtin-errors": "true"}
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "remit-server"}
_KEEP_ALIVE_SECONDS: Final = 30.0
_REPLACED: Final = ("_init_session", "_request")


class OpaClient(AsyncOpaClient):  # type: ignore[misc] # the library has no types
    """Asks for one of the decisions, once, without redirects, and reads the answer within its bound.

    Nothing else of the library's API goes out: it could upload and rewrite policies.
    """

    def __init__(self, settings: OpaSettings) -> None:
        # NOTE: what a later version renames would no longer be replaced, and its own would be at work unseen.
        if missing := [name for name in _REPLACED if name not in vars(AsyncOpaClient)]:
            raise RuntimeError(
                f"opa-python-client has no {missing[0]} any more: install the version in constraints.txt"
            )
        url = urlsplit(settings.url)
        self._socket = url.path if url.scheme == "unix" else None
        host = url.hostname or "localhost"
        super().__init__(
            host=f"[{host}]" if ":" in host else host,
            port=url.port or 8181,
            ssl=url.scheme == "https",
            token=settings.token.reveal() if settings.token is not None else None,
            retries=0,
        )
        self._ca_file = settings.ca_file
        self._connections = settings.connections
        query = "&".join(f"{name}={value}" for name, value in _PARAMETERS.items())
        paths = [entrypoint.replace(".", "/") for entrypoint in (ENTRYPOINT, ADMIN_ENTRYPOINT)]
        self._only = frozenset(("POST", f"{self.root_url}/{path}?{query}") for path in paths)

    async def decision(self, question: DecisionInput, entrypoint: str) -> Any:
        """Returns what OPA's answer holds, read strictly; the deadline is the caller's to set.

        Raises Unanswered for an HTTP status other than 200 and for a body that is not plain JSON within its bound,
        aiohttp.ClientError and OSError for what fails below HTTP.
        """
        package, _, rule = entrypoint.removeprefix("data.").rpartition(".")
        answer = await self.query_rule(question, package, rule, query_params=_PARAMETERS)
        if not isinstance(answer, _Read):
            raise Unanswered("opa-python-client read its answer by itself", "Install the version in constraints.txt")
        return answer.value

    async def _init_session(self) -> None:
        """Opens the session: the library's takes no CA file, no socket, and any body, compressed or not."""
        connector: aiohttp.BaseConnector
        if self._socket is not None:
            connector = aiohttp.UnixConnector(
                self._socket, limit=self._connections, keepalive_timeout=_KEEP_ALIVE_SECONDS
            )
        else:
            connector = aiohttp.TCPConnector(
                limit=self._connections, ssl=self._trust() or True, keepalive_timeout=_KEEP_ALIVE_SECONDS
            )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={**_HEADERS, **(self.headers or {})},
            timeout=aiohttp.ClientTimeout(total=None),  # the one deadline stands around all of this
            auto_decompress=False,  # NOTE: a small body must not become a large one
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            raise_for_status=False,
        )

    def _trust(self) -> ssl.SSLContext | None:
        """Returns a context that checks certificate and host name, from TLS 1.2 on; None where there is no TLS."""
        if not self.ssl:
            return None
        cafile = None if self._ca_file is None else str(self._ca_file)
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=cafile)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    @asynccontextmanager
    async def _request(self, method: str, url: str, **kwargs: Any) -> AsyncIterator["_Answered"]:
        """Sends the question in the very text that is recorded; the library's own tries again and follows redirects."""
        if (method, url) not in self._only:
            raise ValueError("nothing but the two decisions is asked of OPA")
        question: DecisionInput = kwargs["json"]["input"]
        async with self._session.request(
            method,
            url,
            data=b'{"input":%b}' % question.text.encode("utf-8"),
            headers={"Content-Type": "application/json"},
            allow_redirects=False,
        ) as response:
            yield _Answered(response)


class _Answered:
    """An answer as the library wants to read it, which then reads it by our rules."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def raise_for_status(self) -> None:
        """Raises Unanswered unless the answer is plain JSON with status 200."""
        status = self._response.status
        if status != _OK:
            raise _refused(status)
        if self._response.headers.get("Content-Encoding", "identity") != "identity":
            raise Unanswered("its answer is compressed although that was not asked for")
        if self._response.content_type != "application/json":
            raise Unanswered("its answer is not JSON by its content type", "Point policy.opa.url at an OPA server")

    async def json(self) -> "_Read":
        """Returns what the body holds, reading no further than its bound."""
        body = bytearray()
        async for chunk in self._response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                self._response.close()  # NOTE: else the rest would be read to use the connection again
                raise Unanswered(f"its answer is longer than {MAX_ANSWER_BYTES >> 10} KiB", opa_is_ill=False)
        try:
            return _Read(strict_json(body.decode("utf-8"), max_characters=MAX_ANSWER_BYTES))
        except (MalformedJson, UnicodeDecodeError) as wrong:
            why = str(wrong) if isinstance(wrong, MalformedJson) else "not UTF-8"
            raise Unanswered(f"its answer is {why}") from wrong


@dataclass(frozen=True, slots=True)
class _Read:
    """What `_Answered` has read, and nobody else."""

    value: Any


def _refused(status: int) -> Unanswered:
    """Returns what an HTTP status other than 200 means."""
    match status:
        case 401 | 403:
            mend = "Give the gateway, in policy.opa.token_file, the token that OPA's system.authz policy asks for"
            return Unanswered(f"it refuses the gateway (HTTP {status})", mend, hopeless=True)
        case 500:
            # OPA's own answer where an evaluation fails: the same question would fail again, another one may not.
            return Unanswered("it could not evaluate the decision (HTTP 500)", "See OPA's log", opa_is_ill=False)
        case _ if 300 <= status < 400:  # noqa: PLR2004 - RFC 9110: redirection
            mend = "Write the address itself into policy.opa.url"
            return Unanswered(f"it sends the question elsewhere (HTTP {status}), where none goes", mend)
        case _:
            return Unanswered(f"it answers HTTP {status}", "See OPA's log")
