"""What receivers of security events need: SETs of every kind, a memory in place of the database, an HTTP front."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.token_forge import ABSENT, NOW, HandClock, MemoryFetch, forge, usual_key_set
from tests.token_forge import settings as issuer_settings

from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.security_events.set_verification import SetVerifier
from remit_server.adapters.security_events.webhook import WebhookVerifier, signature
from remit_server.application.security_events.counting import EventCounts, SenderBudget
from remit_server.application.security_events.receive import ObeyEvent, Receive
from remit_server.config.event_settings import TransmitterSettings, WebhookSettings
from remit_server.config.settings import HttpListenerSettings
from remit_server.domain.audit import AuditRecord
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.secret import Secret
from remit_server.domain.security_event import SecurityEvent
from remit_server.transport.http.security_events import PushedStream, PushedWebhook, SecurityEventReceiver
from remit_server.transport.http.server import HttpServer

TRANSMITTER = "https://signals.example.com"
RECEIVER = "https://remit.example.com"
USERS = "https://idp.example.com"
SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
ACCOUNT_DISABLED = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"
ACCOUNT_ENABLED = "https://schemas.openid.net/secevent/risc/event-type/account-enabled"
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
ALICE = {"format": "iss_sub", "iss": USERS, "sub": "alice"}
STREAM = {"format": "opaque", "id": "stream-1"}
WEBHOOK_SECRET = "0123456789abcdef0123456789abcdef"


class EventHandClock(HandClock):
    """Moves only when a test moves it, and is unsettled only when a test says so."""

    unsettled: timedelta | None = None

    def unsettled_for(self) -> timedelta | None:
        return self.unsettled


@dataclass
class MemoryOfEvents:
    """Does what the database does for events, and can be down: the database's own way has tests of its own."""

    revoked: list[SecurityEvent] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    known: set[tuple[str, str]] = field(default_factory=set)
    names: dict[str, list[str]] = field(default_factory=dict)
    is_down: bool = False
    poison: str = ""

    async def revoke(self, event: SecurityEvent, /) -> bool:
        self._check()
        if event.event_id == self.poison:
            raise KeyError("a fault that nobody thought of")
        is_new = (event.source, event.event_id) not in self.known
        self.known.add((event.source, event.event_id))
        self.revoked.extend([event] if is_new else [])
        return is_new

    async def record_once(self, source: str, event_id: str, record: AuditRecord, /) -> bool:
        self._check()
        is_new = (source, event_id) not in self.known
        self.known.add((source, event_id))
        self.records.extend([record] if is_new else [])
        return is_new

    async def seen(self, source: str, event_id: str, /) -> bool:
        self._check()
        return (source, event_id) in self.known

    async def named(self, issuer: str, source_identity: str, /) -> Sequence[str]:
        self._check()
        assert issuer == USERS
        return self.names.get(source_identity, [])

    async def record(self, record: AuditRecord, /) -> None:
        self._check()
        self.records.append(record)

    def obey(self) -> ObeyEvent:
        return ObeyEvent(self.revoke, self.record_once, self.seen, self.named)

    def _check(self) -> None:
        if self.is_down:
            raise Outage(Reason.LEDGER_UNAVAILABLE, "the ledger is not available")


def transmitter(*, signer: Mapping[str, Any] | None = None, **changes: Any) -> TransmitterSettings:
    signing = {"issuer": TRANSMITTER, "alias": "acme", "audience": RECEIVER, "token_type": "secevent+jwt"}
    usual: dict[str, Any] = {"users_of": USERS, "subject_issuer": USERS}
    return TransmitterSettings(signer=issuer_settings(**{**signing, **(signer or {})}), **{**usual, **changes})


def verifier(
    settings: TransmitterSettings | None = None, clock: EventHandClock | None = None, document: bytes | None = None
) -> SetVerifier:
    settings, clock = settings or transmitter(), clock or EventHandClock()
    fetch = MemoryFetch(settings.signer.issuer, usual_key_set() if document is None else document)
    return SetVerifier(settings, IssuerKeys(settings.signer, clock, fetch), clock)


def event_claims(event_type: str = SESSION_REVOKED, event: Any = None, **changes: Any) -> dict[str, Any]:
    """Returns the claims of a sound SET with changes; ABSENT leaves one out."""
    usual = {
        "iss": TRANSMITTER,
        "aud": RECEIVER,
        "iat": NOW - 5,
        "jti": "set-1",
        "txn": "cause-1",
        "sub_id": ALICE,
        "events": {event_type: {"event_timestamp": NOW - 10} if event is None else event},
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ABSENT}


def security_event_token(
    event_type: str = SESSION_REVOKED,
    event: Any = None,
    *,
    header: Mapping[str, Any] | None = None,
    signed: Mapping[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Signs a SET; `signed` goes to the forge (kid, algorithm, key)."""
    full = {"typ": "secevent+jwt", **(header or {})}
    return forge(event_claims(event_type, event, **changes), header=full, **(signed or {}))


def webhook_settings(**changes: Any) -> WebhookSettings:
    usual: dict[str, Any] = {"name": "hr", "secrets": (Secret(WEBHOOK_SECRET),), "issuers": frozenset({USERS})}
    return WebhookSettings(**{**usual, **changes})


def webhook_body(**changes: Any) -> bytes:
    usual = {
        "id": "call-1",
        "event": "account-disabled",
        "issuer": USERS,
        "subject": "alice",
        "time": "2026-11-23T11:59:00Z",
        "reason": "left the company",
    }
    return json.dumps({name: value for name, value in {**usual, **changes}.items() if value is not ABSENT}).encode()


def signed_header(body: bytes, *, seconds: int = NOW, secret: str = WEBHOOK_SECRET) -> str:
    return f"t={seconds},v1={signature(Secret(secret), seconds, body)}"


@dataclass
class Front:
    """A receiver that listens: where, and what is behind it."""

    url: str
    memory: MemoryOfEvents
    counts: EventCounts
    clock: EventHandClock


@asynccontextmanager
async def listening_receiver(
    settings: TransmitterSettings | None = None, *, per_minute: int = 600
) -> AsyncIterator[Front]:
    """Serves one stream (`/ssf/acme`) and one webhook (`/webhooks/hr`) on loopback, by the gateway's own server."""
    settings, clock, memory = settings or transmitter(), EventHandClock(), MemoryOfEvents()
    counts = EventCounts(memory.record, clock)
    hooks = webhook_settings()
    receive_set = Receive(settings.source, verifier(settings, clock), memory.obey(), counts)
    receive_call = Receive(hooks.source, WebhookVerifier(hooks, clock), memory.obey(), counts)
    receiver = SecurityEventReceiver(
        {"acme": PushedStream(receive_set, SenderBudget(clock, per_minute), settings.authorization)},
        {"hr": PushedWebhook(receive_call, SenderBudget(clock, per_minute))},
        counts,
    )
    server = HttpServer(HttpListenerSettings("127.0.0.1:0"), receiver.routes())
    try:
        yield Front(f"http://{await server.start()}", memory, counts, clock)
    finally:
        await server.stop(timedelta())
