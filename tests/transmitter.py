"""A transmitter of Shared Signals of ours: signs events, publishes its keys, pushes, is polled, manages its stream.

It runs on loopback HTTPS, like the real ones, with the faults that a test sets.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from tests.event_world import RECEIVER, USERS, VERIFICATION
from tests.token_forge import forge, usual_key_set

from remit_sandbox.certificates import Authority
from remit_server.config.event_settings import Delivery, TransmitterSettings
from remit_server.config.identity_settings import IssuerSettings

ACCESS_TOKEN = "access-token-of-this-receiver"
STREAM_ID = "stream-1"


@dataclass
class Transmitter:
    """One transmitter with one client.

    `queue` holds what waits to be polled, `pushed` how pushes were answered, `calls` what it was asked.
    """

    authority: Authority
    port: int = 0
    path: str = ""
    access_token: str = ACCESS_TOKEN
    waits: bool = True
    queue: dict[str, str] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    errors: dict[str, Mapping[str, str]] = field(default_factory=dict)
    pushed: list[int] = field(default_factory=list)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: dict[str, web.Response] = field(default_factory=dict)
    metadata_changes: dict[str, Any] = field(default_factory=dict)
    stream: dict[str, Any] | None = None
    status: str = "enabled"
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: int = 0

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return f"{self.origin}{self.path}"

    def settings(self, token_file: Any, **changes: Any) -> TransmitterSettings:
        """Returns how a gateway is configured for this transmitter, polling unless said otherwise."""
        signer = IssuerSettings(
            issuer=self.issuer,
            alias="acme",
            audience=RECEIVER,
            algorithms=("RS256",),
            token_type="secevent+jwt",
            allowed_hosts=frozenset({"127.0.0.1"}),
            ca_file=self.authority.bundle_path,
        )
        usual: dict[str, Any] = {
            "signer": signer,
            "users_of": USERS,
            "subject_issuer": USERS,
            "delivery": Delivery.POLL,
            "access_token_file": token_file,
            "poll_url": f"{self.origin}/poll",
        }
        return TransmitterSettings(**{**usual, **changes})

    def event(self, event_type: str, event: Mapping[str, Any] | None = None, **claims: Any) -> tuple[str, str]:
        """Returns the id and the token of a new event about alice."""
        self._numbers += 1
        event_id = claims.pop("jti", f"event-{self._numbers}")
        content = {
            "iss": self.issuer,
            "aud": RECEIVER,
            "iat": int(time.time()),
            "jti": event_id,
            "sub_id": {"format": "iss_sub", "iss": USERS, "sub": "alice"},
            "events": {event_type: dict(event or {})},
            **claims,
        }
        return event_id, forge(content, header={"typ": "secevent+jwt"})

    def enqueue(self, event_type: str, event: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Has a new event wait to be polled."""
        event_id, token = self.event(event_type, event, **claims)
        self.queue[event_id] = token
        self.changed.set()
        return event_id

    async def push(self, url: str, token: str, authorization: str = "", ca_file: Any = None) -> int:
        """Pushes a token (RFC 8935) and returns the status of the answer."""
        headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        headers |= {"Authorization": authorization} if authorization else {}
        context = ssl.create_default_context(cafile=ca_file)
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=token, headers=headers, ssl=context) as answer,
        ):
            return answer.status

    async def deliver(self, event_type: str, event: Mapping[str, Any] | None = None, **claims: Any) -> None:
        """Delivers a new event as the stream was configured: pushes it, or has it wait."""
        delivery = self.stream["delivery"] if self.stream else {}
        if delivery.get("method") != "urn:ietf:rfc:8935":
            self.enqueue(event_type, event, **claims)
            return
        _, token = self.event(event_type, event, **claims)
        authority = self.authority.bundle_path
        self.pushed.append(
            await self.push(delivery["endpoint_url"], token, delivery.get("authorization_header", ""), authority)
        )

    def application(self) -> web.Application:
        application = web.Application()
        application.add_routes(
            [
                web.get(f"/.well-known/ssf-configuration{self.path}", self._metadata),
                web.get("/keys", self._keys),
                web.post("/poll", self._poll),
                web.route("*", "/stream", self._stream),
                web.get("/status", self._status),
                web.post("/verify", self._verify),
            ]
        )
        return application

    async def _metadata(self, _: web.Request) -> web.Response:
        document = {
            "spec_version": "1_0",
            "issuer": self.issuer,
            "jwks_uri": f"{self.origin}/keys",
            "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
            "configuration_endpoint": f"{self.origin}/stream",
            "status_endpoint": f"{self.origin}/status",
            "verification_endpoint": f"{self.origin}/verify",
            **self.metadata_changes,
        }
        return web.json_response({name: value for name, value in document.items() if value is not None})

    async def _keys(self, _: web.Request) -> web.Response:
        return web.Response(body=usual_key_set(), content_type="application/json")

    async def _asked(self, request: web.Request) -> Any:
        """Notes a call, and turns away who shows no access token; returns the body."""
        text = await request.text()
        content = json.loads(text) if text else None
        self.calls.append((request.method, request.path_qs, content))
        if request.headers.get("Authorization") != f"Bearer {self.access_token}":
            raise web.HTTPUnauthorized
        return content

    async def _poll(self, request: web.Request) -> web.Response:
        content = await self._asked(request)
        for event_id in content.get("ack", []):
            self.acknowledged.append(event_id)
            self.queue.pop(event_id, None)
        for event_id, error in content.get("setErrs", {}).items():
            self.errors[event_id] = error
            self.queue.pop(event_id, None)
        if "poll" in self.answers:
            return self.answers.pop("poll")
        if not self.queue and self.waits and not content["returnImmediately"]:
            self.changed.clear()
            await self.changed.wait()
        taken = dict(list(self.queue.items())[: content["maxEvents"]])
        return web.json_response({"sets": taken, "moreAvailable": len(taken) < len(self.queue)})

    async def _stream(self, request: web.Request) -> web.Response:
        content = await self._asked(request)
        if request.method == "GET":
            return web.json_response([self.stream] if self.stream else [])
        self.stream = {
            "stream_id": STREAM_ID,
            "iss": self.issuer,
            "aud": RECEIVER,
            "delivery": {"endpoint_url": f"{self.origin}/poll", **content["delivery"]},
            "events_requested": content["events_requested"],
            "events_delivered": content["events_requested"][:2],
        }
        return web.json_response(self.stream, status=201 if request.method == "POST" else 200)

    async def _status(self, request: web.Request) -> web.Response:
        await self._asked(request)
        return web.json_response({"stream_id": request.query["stream_id"], "status": self.status})

    async def _verify(self, request: web.Request) -> web.Response:
        content = await self._asked(request)
        stream = {"format": "opaque", "id": content["stream_id"]}
        await self.deliver(VERIFICATION, {"state": content["state"]}, sub_id=stream)
        return web.Response(status=204)


@asynccontextmanager
async def running_transmitter(authority: Authority, *, path: str = "") -> AsyncIterator[Transmitter]:
    """Runs a transmitter with a certificate of the authority."""
    transmitter = Transmitter(authority, path=path)
    pair = authority.issue_server(("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    runner = web.AppRunner(transmitter.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    transmitter.port = runner.addresses[0][1]
    try:
        yield transmitter
    finally:
        await runner.cleanup()
