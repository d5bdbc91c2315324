"""Calls AWS STS for an order, in whichever way it is asked for: bounded, retried inside its deadline, never logged."""

import asyncio
import logging
import random
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import aiohttp

from remit_server.adapters.aws.sts_failures import (
    Failure,
    StsFailed,
    broken_off,
    not_an_answer,
    not_reached,
    not_trusted,
)
from remit_server.adapters.aws.sts_protocol import MAX_ANSWER_BYTES, MalformedAnswer, endpoint, error_code
from remit_server.adapters.aws.token_bucket import TokenBuckets
from remit_server.application.ports import Clock
from remit_server.config.settings import AwsSettings
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.errors import Denied, Outage, Reason

MAX_ATTEMPTS: Final = 4
MAX_QUEUE_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_CONNECT_SECONDS: Final = 3.0
_KEEP_ALIVE_SECONDS: Final = 15.0
_OK: Final = 200
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)

_log = logging.getLogger(__name__)


class Asking(Protocol):
    """One order in one of the ways to ask for it; it sends the very same order at every attempt."""

    @property
    def order(self) -> SessionOrder:
        """What is asked for."""
        ...

    @property
    def body(self) -> bytes:
        """The form that every attempt sends."""
        ...

    async def headers(self, url: str, deadline: float) -> dict[str, str]:
        """Returns the headers of one attempt; raises Outage(STS_UNAVAILABLE) when it cannot be made."""
        ...

    def session(self, answer: bytes, now: datetime) -> StsSession:
        """Returns the session that an answer proves; raises MalformedAnswer."""
        ...

    def refused(self, status: int, code: str | None) -> Failure:
        """Returns what an answer other than 200 means."""
        ...

    def may_help(self, failure: Failure) -> bool:
        """Is told of a failure that a mere repeat does not mend; says whether the next attempt would differ in time."""
        ...


@dataclass(slots=True)
class _Call:
    """One call of the port, and whether an attempt left doubt behind."""

    asking: Asking
    deadline: float
    credentials_may_exist: bool = False


class StsCalls:
    """Sends orders over HTTPS with reused connections; `close()` ends them.

    Each attempt, retries included, takes a token of its (account, region); at most `max_in_flight` calls run at a time;
    both waits end after two seconds. `pause` and `jitter` (0 to 1) are there for tests.
    """

    def __init__(
        self,
        settings: AwsSettings,
        *,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._jitter = jitter or random.SystemRandom().random
        self._budget = TokenBuckets[tuple[str, str]](
            rate=settings.requests_per_second, burst=settings.burst, monotonic=clock.monotonic
        )
        self._places = asyncio.Semaphore(settings.max_in_flight)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, asking: Asking, /, *, deadline: float) -> StsSession:
        """Returns the session; see the port AssumeRole for what it raises."""
        call = _Call(asking, deadline)
        try:
            await self._take_place(deadline)
            try:
                return await self._attempts(call)
            finally:
                self._places.release()
        except Outage as outage:
            outage.credentials_may_exist |= call.credentials_may_exist
            raise

    def left(self, deadline: float) -> float:
        """Returns the seconds until the deadline, at least 0."""
        return max(0.0, deadline - self._clock.monotonic())

    async def close(self) -> None:
        """Ends the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _take_place(self, deadline: float) -> None:
        """Takes one of the places in flight; raises Outage(OVERLOADED) when none gets free in time."""
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(min(MAX_QUEUE_SECONDS, self.left(deadline))):
                await self._places.acquire()
        except TimeoutError:
            raise Outage(
                Reason.OVERLOADED, "Too many calls to AWS STS are under way. Ask again in a few seconds."
            ) from None

    async def _attempts(self, call: _Call) -> StsSession:
        """Returns the first good answer."""
        role = call.asking.order.role
        for number in range(1, MAX_ATTEMPTS + 1):
            await self._spend(call)
            outcome = await self._attempt(call)
            if isinstance(outcome, StsSession):
                return outcome
            _log.warning("STS attempt %d for %s failed: %s", number, role.arn, outcome.label)
            call.credentials_may_exist |= outcome.credentials_may_exist
            again = outcome.retry or call.asking.may_help(outcome)
            pause = self._jitter() * min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (number - 1))
            if not again or number == MAX_ATTEMPTS or pause >= self.left(call.deadline):
                raise _error(outcome, call)
            await self._pause(pause)
        raise AssertionError("the last attempt raises")

    async def _spend(self, call: _Call) -> None:
        """Takes one call from the budget of (account, region), waiting for it a little.

        Raises Outage(RATE_LIMITED) when that takes too long, Outage(STS_UNAVAILABLE) when the time is up.
        """
        left = self.left(call.deadline)
        if left <= 0:
            raise Outage(Reason.STS_UNAVAILABLE, "No time was left to call AWS STS. Ask again with a new request_id.")
        place = (call.asking.order.role.account, call.asking.order.role.region)
        wait = self._budget.reserve(place, max_wait=min(MAX_QUEUE_SECONDS, left))
        if wait is None:
            raise Outage(
                Reason.RATE_LIMITED, "This gateway's budget of AWS STS calls is spent. Ask again in a few seconds."
            )
        if wait > 0:
            await self._pause(wait)

    async def _attempt(self, call: _Call) -> StsSession | Failure:
        """Sends the order once and returns what came of it."""
        asking = call.asking
        url = self._settings.endpoint_url or endpoint(asking.order.role.region)
        headers = await asking.headers(url, call.deadline)
        seconds = min(self._settings.timeout.total_seconds(), self.left(call.deadline))
        try:
            async with asyncio.timeout(seconds):
                status, answer = await self._send(url, headers, asking.body)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as wrong:
            return not_trusted(type(wrong).__name__)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as wrong:
            return not_reached(type(wrong).__name__)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as wrong:
            # NOTE: the request may have been read and acted upon: from here on credentials may exist.
            return broken_off(type(wrong).__name__)
        return self._judged(status, answer, asking)

    async def _send(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes | None]:
        """Returns status and body, or None for a body over the limit."""
        async with self._client().post(url, data=body, headers=headers, allow_redirects=False) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    response.close()
                    return response.status, None
            request_id = response.headers.get("x-amzn-RequestId", "")
            if response.status != _OK and _REQUEST_ID.fullmatch(request_id):
                _log.info("AWS calls the refused request %s", request_id)
            return response.status, bytes(answer)

    def _judged(self, status: int, answer: bytes | None, asking: Asking) -> StsSession | Failure:
        """Returns the session that the answer proves, or what is wrong with it."""
        if answer is None:
            return not_an_answer(f"an answer over {MAX_ANSWER_BYTES} bytes (HTTP {status})")
        if status != _OK:
            return asking.refused(status, error_code(answer))
        try:
            return asking.session(answer, self._clock.now())
        except MalformedAnswer as wrong:
            return not_an_answer(f"an answer with {wrong}")

    def _client(self) -> aiohttp.ClientSession:
        """Returns the HTTP client; its connections live on between calls."""
        if self._session is None:
            ca_file = self._settings.ca_file
            connector = aiohttp.TCPConnector(
                limit=self._settings.max_in_flight,
                ssl=ssl.create_default_context(cafile=None if ca_file is None else str(ca_file)),
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity", "User-Agent": "remit-server"},
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                raise_for_status=False,
            )
        return self._session


def _error(failure: Failure, call: _Call) -> Denied | Outage:
    """Returns the failure as the port's error, its cause attached for the log.

    A refusal that follows an attempt whose outcome nobody knows is an outage: a Denied promises that nothing exists.
    """
    error = failure.error()
    if isinstance(error, Denied) and call.credentials_may_exist:
        error = Outage(Reason.STS_UNAVAILABLE, "AWS STS answered unevenly. Ask again with a new request_id.")
    error.__cause__ = StsFailed(failure.label)
    return error
