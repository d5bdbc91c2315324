"""Where spans wait to be sent: bounded, and given up rather than waited for."""

import asyncio
import logging
import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from remit_server.config.telemetry.settings import TracingSettings

MOST_WAITING: Final = 2048
AT_ONCE: Final = 256
EVERY_SECONDS: Final = 1.0
DEADLINE_SECONDS: Final = 5.0
LAST_SECONDS: Final = 2.0  # for what waits at a stop
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
_PATH: Final = "/v1/traces"
_TAKEN: Final = range(200, 300)
_log: Final = logging.getLogger(__name__)

Told = Callable[[str, int], None]

_WHAT_TO_DO: Final = "check tracing.endpoint, ca_file and token_file, and that the collector takes OTLP over HTTP there"


class Unsent(Exception):  # noqa: N818 - named for what it says
    """The collector did not take the spans, and why."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Sends spans by OTLP over HTTP; `close` ends its connections."""

    settings: TracingSettings
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list)

    async def __call__(self, spans: Sequence[ReadableSpan]) -> None:
        """Returns once they were taken; raises Unsent."""
        body = await asyncio.to_thread(lambda: encode_spans(spans).SerializeToString())
        headers = {"Content-Type": "application/x-protobuf"}
        if self.settings.token is not None:
            headers["Authorization"] = f"Bearer {self.settings.token.reveal()}"
        url = f"{self.settings.endpoint}{_PATH}"
        try:
            session = await self._session()
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.status not in _TAKEN:
                    raise Unsent(f"the collector at {url} answered {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unsent(f"the collector at {url} {_words(error)}") from None

    async def close(self) -> None:
        """Ends the connections."""
        for session in self._sessions:
            await session.close()
        self._sessions.clear()

    async def _session(self) -> aiohttp.ClientSession:
        """Returns the HTTP client. NOTE: it takes nothing from the environment: no proxy, no credentials."""
        if not self._sessions:
            ca_file = self.settings.ca_file
            cafile = None if ca_file is None else str(ca_file)
            context = await asyncio.to_thread(ssl.create_default_context, cafile=cafile)
            self._sessions.append(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=1, ssl=context),
                    timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS),
                    trust_env=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            )
        return self._sessions[0]


class Outbox(SpanProcessor):
    """Takes spans that have ended, and has them sent in the background: once each, and none waits for a place.

    `told` is told of spans by what became of them: sent, dropped (too many wait), failed (not taken).
    """

    def __init__(
        self,
        send: Callable[[Sequence[ReadableSpan]], Awaitable[None]],
        told: Told,
        *,
        most_waiting: int = MOST_WAITING,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._send = send
        self._told = told
        self._most = most_waiting
        self._pause = pause
        self._waiting: deque[ReadableSpan] = deque()
        self._something_waits = asyncio.Event()
        self._failed = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Has nothing to do."""

    def on_end(self, span: ReadableSpan) -> None:
        """Takes a span, or drops it; called on the event loop."""
        if len(self._waiting) >= self._most:
            self._told("dropped", 1)
            return
        self._waiting.append(span)
        self._something_waits.set()

    def shutdown(self) -> None:
        """Has nothing to do: `close` does it, on the loop."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sends nothing: nobody may wait for the collector."""
        del timeout_millis
        return False

    async def keep_sending(self) -> None:
        """Sends until it is cancelled: a batch each second, or one after the other where many wait."""
        while True:
            self._something_waits.clear()
            if not self._waiting:
                await self._something_waits.wait()
            if len(self._waiting) < AT_ONCE:
                await self._pause(EVERY_SECONDS)
            if not await self._sent():
                await self._pause(min(SHORTEST_PAUSE * 2.0 ** min(self._failed - 1, 16), LONGEST_PAUSE))

    async def close(self) -> None:
        """Sends what waits, as far as that is done at once; the rest is dropped."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while self._waiting and await self._sent():
                    pass
        except TimeoutError:
            _log.debug("the collector took too long at the end")
        if self._waiting:
            self._told("dropped", len(self._waiting))
            self._waiting.clear()

    async def _sent(self) -> bool:
        """Sends a batch, and says whether it was taken; what was not is not sent again."""
        batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        try:
            await self._send(batch)
        except asyncio.CancelledError:
            self._told("dropped", len(batch))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is: it must not end the sending
            self._told("failed", len(batch))
            if not self._failed:  # once, and not at every batch
                why = error if isinstance(error, Unsent) else type(error).__name__
                _log.warning("traces cannot be sent: %s; %s; calls go on without", why, _WHAT_TO_DO)
            self._failed += 1
            return False
        self._told("sent", len(batch))
        if self._failed:
            _log.info("traces are sent again")
        self._failed = 0
        return True


def _words(error: Exception) -> str:
    """Returns how a request failed, without a word of what was sent or answered."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "is not reached: its name is not known"
        case aiohttp.ClientConnectorCertificateError():
            return "is not trusted: its certificate is not one that ca_file vouches for"
        case aiohttp.ClientSSLError():
            return "is not reached: TLS failed"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number))):
            return f"is not reached: {os.strerror(number)}"
        case TimeoutError():
            return f"did not answer in {DEADLINE_SECONDS:g} s"
        case _:
            return f"is not reached ({type(error).__name__})"
