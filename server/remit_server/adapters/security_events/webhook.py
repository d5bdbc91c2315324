"""Verifies plain signed webhooks, for senders that do not speak Shared Signals.

`Remit-Signature: t=<seconds>,v1=<hex>`, where the hex is HMAC-SHA256 with the shared secret over `<seconds>.<body>`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

from remit_server.adapters.identity.token_parsing import bounded_json
from remit_server.adapters.security_events.reasons import shown
from remit_server.adapters.security_events.set_verification import EventClock
from remit_server.adapters.strict_json import MalformedJson
from remit_server.application.security_events.ports import UnverifiedWebhook
from remit_server.config.event_settings import WebhookSettings
from remit_server.config.identity_rules import is_plain_text
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.secret import Secret
from remit_server.domain.security_event import (
    MAX_EVENT_AGE,
    EventRefusal,
    EventRefused,
    SecurityEvent,
    SecurityEventKind,
)

TOLERANCE: Final = timedelta(minutes=5)
MAX_BODY_BYTES: Final = 8 * 1024
_MOST_SIGNATURES: Final = 4
_LONGEST_REASON: Final = 1000
_TIME = re.compile(r"t=([1-9][0-9]{0,10})", re.ASCII)
_SIGNATURE = re.compile(r"v1=([0-9a-f]{64})", re.ASCII)
_EVENTS: Final[Mapping[str, SecurityEventKind]] = {
    "session-revoked": SecurityEventKind.SESSION_REVOKED,
    "credential-change": SecurityEventKind.CREDENTIAL_CHANGE,
    "account-disabled": SecurityEventKind.ACCOUNT_DISABLED,
    "account-enabled": SecurityEventKind.ACCOUNT_ENABLED,
}
_REQUIRED: Final = frozenset({"id", "event", "issuer", "subject", "time"})
_MEMBERS: Final = _REQUIRED | {"reason"}


def signature(secret: Secret, seconds: int, body: bytes) -> str:
    """Returns the hex of a signature."""
    return hmac.new(secret.reveal().encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class WebhookVerifier:
    """Verifies the calls of one webhook: signature first, then that it is of now, then every member of its body."""

    settings: WebhookSettings
    clock: EventClock

    async def __call__(self, unverified: UnverifiedWebhook, /) -> SecurityEvent:
        """Returns the event; raises EventRefused, or Outage while the clock cannot be relied on."""
        self._check_signature(unverified)
        return self._event(_members(unverified.unverified_body))

    def _check_signature(self, unverified: UnverifiedWebhook) -> None:
        """Checks that one of the secrets signed these bytes within the last five minutes."""
        seconds, signatures = _taken_apart(unverified.unverified_signature)
        matches = [
            hmac.compare_digest(signature(secret, seconds, unverified.unverified_body), one)
            for secret in self.settings.secrets
            for one in signatures
        ]
        if not any(matches):
            _refuse(EventRefusal.AUTHENTICATION_FAILED, "no signature is of this webhook's secret over `t.body`")
        left = self.clock.unsettled_for()
        if left is not None:
            message = "internal error: the gateway's clock was stepped and has not settled; try again later"
            raise Outage(Reason.INTERNAL, message, retry_after=left)
        if abs(self.clock.now().timestamp() - seconds) > TOLERANCE.total_seconds():
            _refuse(EventRefusal.AUTHENTICATION_FAILED, "the signature is more than 5 minutes old, or of the future")

    def _event(self, members: Mapping[str, Any]) -> SecurityEvent:
        """Returns what the body tells."""
        kind = _EVENTS.get(_text(members, "event"))
        if kind is None:
            _refuse(EventRefusal.INVALID_REQUEST, f"`event` must be one of {', '.join(_EVENTS)}")
        issuer = _text(members, "issuer")
        if issuer not in self.settings.issuers:
            _refuse(EventRefusal.ACCESS_DENIED, "`issuer` is not one that this webhook may speak for")
        reason = members.get("reason", "")
        if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
            _refuse(EventRefusal.INVALID_REQUEST, f"`reason` must be a text of at most {_LONGEST_REASON} characters")
        return SecurityEvent(
            kind=kind,
            subject_issuer=issuer,
            subject_id=_text(members, "subject"),
            event_time=self._time(_text(members, "time")),
            source=self.settings.source,
            event_id=_text(members, "id"),
            reason=shown(reason),
        )

    def _time(self, text: str) -> datetime:
        """Returns when it happened: neither in the future nor longer ago than events are remembered."""
        try:
            time = datetime.fromisoformat(text)
            offset = time.utcoffset()
        except ValueError:
            offset, time = None, self.clock.now()
        if offset is None:
            _refuse(EventRefusal.INVALID_REQUEST, "`time` must be RFC 3339 with an offset: 2026-11-29T20:15:00Z")
        now = self.clock.now()
        if not now - MAX_EVENT_AGE <= time <= now + TOLERANCE:
            _refuse(EventRefusal.INVALID_REQUEST, "`time` must lie within the last 7 days")
        return min(time.astimezone(UTC), now)


def _taken_apart(header: str | None) -> tuple[int, Sequence[str]]:
    """Returns the time and the signatures of a `Remit-Signature`; several are those of several secrets."""
    first, *others = (header or "").split(",", _MOST_SIGNATURES)
    time = _TIME.fullmatch(first)
    signatures = [found[1] for found in map(_SIGNATURE.fullmatch, others) if found]
    if time is None or not signatures or len(signatures) != len(others):
        _refuse(EventRefusal.AUTHENTICATION_FAILED, "`Remit-Signature` must be one `t=<seconds>,v1=<64 hex digits>`")
    return int(time[1]), signatures


def _members(body: bytes) -> Mapping[str, Any]:
    """Returns the body's members: all that must be there, none that is not known."""
    try:
        value = bounded_json(body.decode("utf-8", "strict"), max_characters=MAX_BODY_BYTES)
    except (UnicodeDecodeError, MalformedJson):
        _refuse(EventRefusal.INVALID_REQUEST, "the body is not strict JSON in UTF-8")
    if not isinstance(value, dict) or not _REQUIRED <= value.keys() <= _MEMBERS:
        _refuse(EventRefusal.INVALID_REQUEST, "the body must have id, event, issuer, subject, time and maybe reason")
    return value


def _text(members: Mapping[str, Any], name: str) -> str:
    """Returns a member that must be 1 to 255 printable ASCII characters."""
    value = members[name]
    if not isinstance(value, str) or not is_plain_text(value):
        _refuse(EventRefusal.INVALID_REQUEST, f"`{name}` must be 1 to 255 printable ASCII characters")
    return value


def _refuse(code: EventRefusal, why: str) -> NoReturn:
    raise EventRefused(code, why)
