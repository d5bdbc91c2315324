"""Requests to an issuer: https only, no redirects, bounded in size and in time as a whole."""

import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from remit.local.errors import IssuerUnavailable
from remit.local.login.failures import failed

LARGEST_ANSWER = 256 * 1024
SECONDS = 20.0
_HTTPS = 443
_OUT_OF_ORDER = 500
_MOVED = range(300, 400)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an issuer answered: the status, and the JSON object in it. NOTE: it may hold tokens, so it has no repr."""

    status: int
    members: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"


def https_url(text: object, what: str) -> str:
    """Returns a URL that may be asked; raises LoginNeeded for another scheme, for credentials and for fragments."""
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        raise failed(f"{what} is no https URL")
    if not _is_https(text):
        raise failed(f"{what} is no https URL", advice="issuers are asked by https only, on loopback too")
    return text


def _is_https(text: str) -> bool:
    """Says whether it is an https URL with a host, and with neither credentials nor a fragment."""
    try:
        parts = urlsplit(text)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return parts.scheme == "https" and has_place and "@" not in parts.netloc and not parts.fragment


def ask(
    url: str, *, what: str, ca_file: Path | None, form: Mapping[str, str] | None = None, seconds: float = SECONDS
) -> Answer:
    """Asks an issuer, by POST where there is a form; raises IssuerUnavailable, and LoginNeeded for a wrong answer.

    `what` names the place in messages. Nothing takes longer than `seconds`: not a name server, not a server that drips.
    """
    parts = urlsplit(https_url(url, what))
    found: list[Answer | Exception] = []

    def work() -> None:
        try:
            found.append(_asked(parts, what, _context(ca_file), form, seconds))
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits
            found.append(error)

    # A thread of its own, because neither the resolver nor a dripping server can be interrupted otherwise.
    thread = threading.Thread(target=work, daemon=True, name="remit-issuer")
    thread.start()
    thread.join(seconds)
    outcome = found[0] if found else TimeoutError()
    if isinstance(outcome, Answer):
        return outcome
    raise _told(outcome, what) from outcome


def _told(error: Exception, what: str) -> Exception:
    """Returns what is said of a request that failed; the error's own text may hold what a server wrote."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return failed(
            f"{what} shows a certificate that is not trusted: {error.verify_message}",
            advice="correct issuer in [login], or name its authority as ca_file",
        )
    if isinstance(error, OSError | http.client.HTTPException):
        detail = "it takes too long" if isinstance(error, TimeoutError) else getattr(error, "strerror", None)
        return IssuerUnavailable(
            f"{what} cannot be reached: {detail or type(error).__name__}", advice="check the network, then try again"
        )
    return error


def _context(ca_file: Path | None) -> ssl.SSLContext:
    """Returns how the issuer is authenticated: by the system's authorities, or by this one alone."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "strerror", None) or "it holds no certificates"
        raise failed(f"ca_file of [login] cannot be used: {why}", advice="correct ca_file in [login]") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _asked(
    parts: SplitResult, what: str, context: ssl.SSLContext, form: Mapping[str, str] | None, seconds: float
) -> Answer:
    connection = _connection(parts, context, seconds)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "remit"}
    try:
        if form is None:
            connection.request("GET", path, headers=headers)
        else:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request("POST", path, body=urlencode(form), headers=headers)
        with connection.getresponse() as response:
            return _read(response, what)
    finally:
        connection.close()


def _connection(parts: SplitResult, context: ssl.SSLContext, seconds: float) -> http.client.HTTPSConnection:
    """Returns a connection to the place, through the proxy that the environment names for it."""
    host, port = parts.hostname or "", parts.port or _HTTPS
    proxy = "" if proxy_bypass(host) else getproxies().get("https", "")
    via = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not via.hostname:
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
    connection = http.client.HTTPSConnection(via.hostname, via.port or 80, timeout=seconds, context=context)
    connection.set_tunnel(host, port)
    return connection


def _read(response: http.client.HTTPResponse, what: str) -> Answer:
    if response.status in _MOVED:
        raise failed(f"{what} redirects, which is not followed")
    content = response.read(LARGEST_ANSWER + 1)
    if response.status >= _OUT_OF_ORDER:
        raise IssuerUnavailable(f"{what} answers {response.status}", advice="try again later")
    if len(content) > LARGEST_ANSWER:
        raise failed(f"{what} answers more than {LARGEST_ANSWER} bytes")
    return Answer(response.status, json_object(content, what) if content.strip() else {})


def json_object(content: bytes, what: str) -> dict[str, Any]:
    """Reads a JSON object that everybody reads alike; raises LoginNeeded."""
    try:
        members = json.loads(content.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise failed(f"{what} is no JSON") from None
    if not isinstance(members, dict):
        raise failed(f"{what} is no JSON object")
    return members


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members
