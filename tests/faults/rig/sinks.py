"""What a gateway tells and asks by HTTP: its issuers' documents, the takers of checkpoints and notices, the bundles.

One plain server plays all of them. The proxies before it speak TLS, so one document serves many issuers: each is called
by the address that it was asked at.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.token_forge import claims, ec_jwk, ec_key, forge, key_set, rsa_jwk, rsa_key

KNOWN, ROTATED = "rsa", "ec"


@dataclass
class Sinks:
    """What was taken, and what is offered: `keys` of all issuers, and the `archive` of the policy with its tag."""

    archive: bytes = b""
    etag: str = '"1"'
    is_rotated: bool = False
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def application(self) -> web.Application:
        """Returns what answers."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._discovery),
                web.get("/keys", self._keys),
                web.get("/bundle", self._bundle),
                web.post("/checkpoints", self._checkpoint),
                web.post("/notices", self._notice),
            ]
        )
        return application

    async def _discovery(self, request: web.Request) -> web.Response:
        issuer = f"https://{request.host}"
        return web.json_response({"issuer": issuer, "jwks_uri": f"{issuer}/keys"})

    async def _keys(self, _: web.Request) -> web.Response:
        published = [rsa_jwk(rsa_key(), kid=KNOWN, use="sig", alg="RS256")]
        published += [ec_jwk(ec_key(), kid=ROTATED, use="sig", alg="ES256")] if self.is_rotated else []
        return web.Response(body=key_set(*published), content_type="application/json")

    async def _bundle(self, request: web.Request) -> web.Response:
        headers = {"ETag": self.etag, "Content-Type": "application/gzip"}
        if request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.archive, headers=headers)

    async def _checkpoint(self, request: web.Request) -> web.Response:
        self.checkpoints.append(json.loads(await request.read()))
        return web.Response(status=204)

    async def _notice(self, request: web.Request) -> web.Response:
        self.notices.append(json.loads(await request.read()))
        return web.Response(status=204)


def token_of(issuer: str, subject: str = "alice", *, kid: str = KNOWN) -> str:
    """Returns a user's token of an issuer, by the key that is known or by the one that it has rotated to."""
    now = int(time.time())
    content = claims(iss=issuer, sub=subject, iat=now, exp=now + 900, jti=str(uuid.uuid4()), email=f"{subject}@x.test")
    return forge(content, kid=kid, algorithm={KNOWN: "RS256", ROTATED: "ES256"}[kid])


@asynccontextmanager
async def running_sinks(archive: bytes) -> AsyncIterator[Sinks]:
    """Runs it on loopback."""
    sinks = Sinks(archive)
    runner = web.AppRunner(sinks.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sinks.port = runner.addresses[0][1]
    try:
        yield sinks
    finally:
        await runner.cleanup()
