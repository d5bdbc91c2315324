"""One bounded question over HTTP: https unless it stays on this machine, no redirect followed, no large answer read."""

import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from remit.workload.failing import NoWorkloadIdentity

LARGEST_ANSWER = 64 * 1024
ATTEMPTS, FIRST_DELAY = 3, 0.3
TIMEOUT = 6.0  # seconds without a byte; whoever waits for the token has a deadline of their own
_OK, _SERVER_FAILED = 200, 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. It may hold a token."""

    status: int
    body: bytes = field(repr=False)

    def member(self, name: str) -> str | None:
        """Returns a text of the JSON object that was answered with 200; None for any other answer."""
        if self.status == _OK:
            with suppress(ValueError, RecursionError):
                found = json.loads(self.body)
                value = found.get(name) if isinstance(found, dict) else None
                return value if isinstance(value, str) else None
        return None


class _NoRedirects(HTTPRedirectHandler):
    """Leaves a redirect as it is: the header would go along to wherever it leads."""

    def redirect_request(  # noqa: PLR0917 - as its base has it
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> Request | None:
        del req, fp, code, msg, headers, newurl
        return None


def ask_web(url: str, headers: Mapping[str, str], what: str) -> Answer:
    """Asks by GET, again when nobody was there or the server failed; raises NoWorkloadIdentity.

    `what` names the endpoint in messages: its address may hold parts that are nobody's business.
    """
    opener = _opener(url, what)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = _asked(opener, url, headers)
        except (OSError, HTTPException) as error:
            if attempt == ATTEMPTS:
                raise NoWorkloadIdentity(
                    f"{what} cannot be reached: {_cause(error)}",
                    advice="look at the network and the proxy settings of this machine, and try again",
                ) from None
        else:
            if answer.status < _SERVER_FAILED or attempt == ATTEMPTS:
                return answer
        time.sleep(FIRST_DELAY * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


def _asked(opener: OpenerDirector, url: str, headers: Mapping[str, str]) -> Answer:
    """Asks once."""
    try:
        request = Request(url, headers=dict(headers))  # noqa: S310 - the scheme was checked
        with opener.open(request, timeout=TIMEOUT) as response:
            return Answer(response.status, _bounded(response))
    except HTTPError as error:
        with error:
            return Answer(error.code, b"")


def _bounded(response: HTTPResponse) -> bytes:
    """Reads an answer that is not too large."""
    body = response.read(LARGEST_ANSWER + 1)
    if len(body) > LARGEST_ANSWER:
        raise HTTPException("the answer is too large")
    return body


def _opener(url: str, what: str) -> OpenerDirector:
    """Returns what asks: by the machine's proxy, but never about what is on the machine itself."""
    parts = urlsplit(url)
    local = _is_local(parts.hostname or "")
    if parts.scheme != "https" and not (local and parts.scheme == "http"):
        raise NoWorkloadIdentity(
            f"{what} has no https address", advice="it is set by the platform: do not set it by hand"
        )
    return build_opener(_NoRedirects(), *([ProxyHandler({})] if local else []))


def _is_local(host: str) -> bool:
    """Says whether a host is this machine, by its literal address only."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _cause(error: Exception) -> str:
    """Returns why, without the address."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({reason.verify_message})"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return type(reason).__name__
