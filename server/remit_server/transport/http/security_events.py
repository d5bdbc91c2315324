"""Where security events are pushed to: `POST /ssf/<alias>` (RFC 8935) and `POST /webhooks/<name>`; decides nothing.

An acknowledgement is an empty 202, given when what the event does is durable. A refusal tells the error code of
RFC 8935 and the check that failed; whatever else goes wrong asks the sender to come again.
"""

import asyncio
import hmac
import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from aiohttp import web

from remit_server.application.security_events.counting import EventCounts, SenderBudget
from remit_server.application.security_events.ports import UnverifiedWebhook
from remit_server.application.security_events.receive import Receive
from remit_server.domain.errors import Outage, Reason, RemitError, told_of
from remit_server.domain.secret import Secret
from remit_server.domain.security_event import EventRefusal, EventRefused

SET_CONTENT_TYPE: Final = "application/secevent+jwt"
MAX_SET_BYTES: Final = 16 * 1024
MAX_WEBHOOK_BYTES: Final = 8 * 1024
READ_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 12.0  # less than the HTTP server's own patience, so that the sender is told to come again
MOST_AT_A_TIME: Final = 64
_RETRY_SECONDS: Final = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PushedStream:
    """One stream that is pushed here: what receives it, the `Authorization` values taken (none: not asked for)."""

    receive: Receive[str]
    budget: SenderBudget
    authorization: tuple[Secret, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class PushedWebhook:
    """One webhook that is called here."""

    receive: Receive[UnverifiedWebhook]
    budget: SenderBudget


class _Turned(Exception):  # noqa: N818 - named for what it says
    """A request is turned away before it is read; `status` says how."""

    def __init__(self, status: int, code: EventRefusal, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.refusal = EventRefused(code, why)


@dataclass(frozen=True, slots=True)
class SecurityEventReceiver:
    """The routes of all streams and webhooks. `counts` hears of what is turned away before a stream sees it."""

    streams: Mapping[str, PushedStream]
    webhooks: Mapping[str, PushedWebhook]
    counts: EventCounts
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_A_TIME))
    _kept_places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_AT_A_TIME))

    def routes(self) -> Sequence[web.RouteDef]:
        """Returns one exact route for each stream and webhook."""
        return [
            *(web.post(f"/ssf/{alias}", partial(self._set, one)) for alias, one in self.streams.items()),
            *(web.post(f"/webhooks/{name}", partial(self._webhook, one)) for name, one in self.webhooks.items()),
        ]

    async def _set(self, stream: PushedStream, request: web.Request) -> web.Response:
        """Takes one pushed SET."""

        async def take() -> None:
            _check_authorization(request, stream.authorization)
            body = await _body(request, SET_CONTENT_TYPE, MAX_SET_BYTES)
            await stream.receive(body.decode("ascii", "replace"), _peer(request))

        # NOTE: behind a load balancer all senders have one address: strangers must not take the transmitter's calls.
        is_known = bool(stream.authorization) and _is_authorized(request, stream.authorization)
        return await self._answer(request, stream.receive.source, stream.budget, take, is_known=is_known)

    async def _webhook(self, webhook: PushedWebhook, request: web.Request) -> web.Response:
        """Takes one call of a webhook."""

        async def take() -> None:
            values = request.headers.getall("Remit-Signature", [])
            body = await _body(request, "application/json", MAX_WEBHOOK_BYTES)
            await webhook.receive(UnverifiedWebhook(values[0] if len(values) == 1 else None, body), _peer(request))

        return await self._answer(request, webhook.receive.source, webhook.budget, take)

    async def _answer(
        self,
        request: web.Request,
        source: str,
        budget: SenderBudget,
        take: Callable[[], Awaitable[None]],
        *,
        is_known: bool = False,
    ) -> web.Response:
        """Answers for whatever taking the event does; who `is_known` has a budget and places apart from strangers'."""
        try:
            budget.spend(f"{_peer(request)}, by its secret" if is_known else _peer(request))
            async with self._place(self._kept_places if is_known else self._places), asyncio.timeout(ANSWER_SECONDS):
                await take()
        except _Turned as turned:
            self.counts.count(source, _peer(request), turned.refusal.code.value, turned.refusal.why)
            return _refusal(turned.status, turned.refusal)
        except EventRefused as refused:
            return _refusal(400, refused)  # whatever is wrong with it (RFC 8935 2.3)
        except Exception as error:  # noqa: BLE001 - whatever it is: the event is not acknowledged
            return _come_again(error)
        return web.Response(status=202)

    @asynccontextmanager
    async def _place(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        """Holds one of the places; raises Outage(OVERLOADED) when all are taken."""
        if places.locked():
            raise Outage(Reason.OVERLOADED, "too many events are being taken")
        async with places:
            yield


def _peer(request: web.Request) -> str:
    """Returns the remote address without its port."""
    return request.remote or "unknown"


def _is_authorized(request: web.Request, accepted: Sequence[Secret]) -> bool:
    """Says whether the one `Authorization` value is among those accepted, in a time that tells nothing of them."""
    values = request.headers.getall("Authorization", [])
    shown = values[0].encode("utf-8", "surrogateescape") if len(values) == 1 else b""
    matches = [hmac.compare_digest(shown, secret.reveal().encode()) for secret in accepted]
    return any(matches)


def _check_authorization(request: web.Request, accepted: Sequence[Secret]) -> None:
    """Turns a call away that does not show one of the secrets, where there are any."""
    if accepted and not _is_authorized(request, accepted):
        why = "the Authorization header is not the one given at the stream's configuration"
        raise _Turned(401, EventRefusal.AUTHENTICATION_FAILED, why)


async def _body(request: web.Request, content_type: str, most: int) -> bytes:
    """Returns the body, reading no further than its bound and waiting no longer than a few seconds."""
    if request.content_type != content_type:
        raise _Turned(415, EventRefusal.INVALID_REQUEST, f"the Content-Type must be {content_type}")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise _Turned(415, EventRefusal.INVALID_REQUEST, "a compressed body is not taken")
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.content.iter_chunked(8192):
                body += chunk
                if len(body) > most:
                    raise _Turned(413, EventRefusal.INVALID_REQUEST, f"the body is longer than {most} bytes")
    except TimeoutError:
        why = f"the body did not come within {READ_SECONDS:g} seconds"
        raise _Turned(408, EventRefusal.INVALID_REQUEST, why) from None
    return bytes(body)


def _refusal(status: int, refused: EventRefused) -> web.Response:
    """Returns the error of RFC 8935 2.3 and hangs up."""
    text = json.dumps({"err": refused.code.value, "description": refused.why})
    headers = {"Content-Language": "en", "Cache-Control": "no-store"}
    if status == 401:  # noqa: PLR2004 - HTTP's own number
        headers["WWW-Authenticate"] = "Bearer"
    response = web.Response(status=status, text=text, content_type="application/json", headers=headers)
    response.force_close()
    return response


def _come_again(error: Exception) -> web.Response:
    """Returns an answer after which the sender sends the event again; the cause is in the log only."""
    told: RemitError = told_of(error)
    if told.reason is Reason.INTERNAL:
        _log.error("an event could not be taken", exc_info=error)
    after = getattr(told, "retry_after", None)
    seconds = _RETRY_SECONDS if after is None else max(1, math.ceil(after.total_seconds()))
    status = 429 if told.reason is Reason.RATE_LIMITED else 503
    return web.Response(status=status, headers={"Retry-After": str(seconds)})
