"""A receiver of notifications on loopback HTTPS: it checks signatures as the documentation says, and has faults."""

import asyncio
import hashlib
import hmac
import json
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from remit_sandbox.certificates import Authority
from remit_server.config.approval_settings import Format, NotificationSettings
from remit_server.domain.notification import NotificationKind
from remit_server.domain.secret import Secret

SECRET = "0123456789abcdef" * 2
_SIGNATURE = re.compile(r"t=([0-9]{1,11}),v1=([0-9a-f]{64})")


def is_signed(header: str | None, body: bytes, *, secret: str = SECRET, now: float | None = None) -> bool:
    """Says whether a body was signed with the secret within the last five minutes."""
    found = _SIGNATURE.fullmatch(header or "")
    if found is None or abs((time.time() if now is None else now) - int(found[1])) > 300:
        return False
    signed = hmac.new(secret.encode(), f"{found[1]}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signed, found[2])


@dataclass
class WebhookReceiver:
    """What was taken, and how the next calls are answered: `answers` by status, 200 when there are none left."""

    authority: Authority
    port: int = 0
    answers: list[int] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    refused: int = 0
    checks: bool = True
    told: asyncio.Event = field(default_factory=asyncio.Event)
    _heard: threading.Event = field(default_factory=threading.Event)

    def is_told(self, seconds: float) -> bool:
        """Says whether something was taken within so long; for threads beside the receiver's own."""
        return self._heard.wait(seconds)

    @property
    def bodies(self) -> Iterator[dict[str, Any]]:
        """What was told, parsed."""
        return (json.loads(body) for _, body in self.taken)

    def settings(self, name: str = "approvers", **changes: Any) -> NotificationSettings:
        """Returns the settings of a receiver that this is."""
        values: dict[str, Any] = {
            "name": name,
            "url": Secret(f"https://127.0.0.1:{self.port}/told"),
            "format": Format.JSON,
            "kinds": frozenset(NotificationKind),
            "secret": Secret(SECRET),
            "ca_file": Path(self.authority.bundle_path),
        }
        return NotificationSettings(**{**values, **changes})

    async def take(self, request: web.Request) -> web.Response:
        """Answers a call."""
        body = await request.read()
        if self.answers:
            status = self.answers.pop(0)
            self.refused += 1
            return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 307 else {})
        if self.checks and not is_signed(request.headers.get("Remit-Signature"), body):
            self.refused += 1
            return web.Response(status=401)
        self.taken.append((dict(request.headers), body))
        self.told.set()
        self._heard.set()
        return web.Response(text="ok")


@asynccontextmanager
async def webhook_receiver(folder: Path) -> AsyncIterator[WebhookReceiver]:
    """Runs it."""
    receiver = WebhookReceiver(Authority.create(folder / "receiver"))
    pair = receiver.authority.issue_server(["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    application = web.Application()
    application.router.add_post("/told", receiver.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()
