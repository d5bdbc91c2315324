"""Verifies security event tokens of one transmitter, and reads what they tell."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Protocol

from remit_server.adapters.identity.oidc import KeySource
from remit_server.adapters.identity.steady_clock import SteppedClock
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.adapters.security_events.event_types import OBEYED, STREAM_STATES, STREAM_UPDATED, VERIFICATION
from remit_server.adapters.security_events.reasons import reason_of, shown
from remit_server.adapters.security_events.set_parsing import UnverifiedSet, parse_set
from remit_server.adapters.security_events.subjects import NotAboutAUser, subject_of
from remit_server.application.ports import Clock
from remit_server.config.event_settings import TransmitterSettings, UserName
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.security_event import (
    MAX_EVENT_AGE,
    EventRefusal,
    EventRefused,
    IgnoredEvent,
    NamedEvent,
    SecurityEvent,
    StreamUpdated,
    StreamVerification,
    VerifiedEvent,
)
from remit_server.domain.session_names import readable_identity

_LONGEST_STATE: Final = 255


class EventClock(Clock, SteppedClock, Protocol):
    """Tells the time, and whether it can be relied on."""


@dataclass(frozen=True, slots=True)
class SetVerifier:
    """Verifies the SETs of one transmitter: issuer, type, audience, key, algorithm, signature and time, in this order.

    What is cheap comes first, so that a stranger makes the gateway ask nobody for keys. Which transmitter it is comes
    from where the token was sent or fetched, never from the token.
    """

    settings: TransmitterSettings
    keys: KeySource
    clock: EventClock

    async def __call__(self, unverified_set: str, /) -> VerifiedEvent:
        """Returns the event; raises EventRefused, or Outage when keys or the clock cannot be relied on now."""
        try:
            unverified = parse_set(unverified_set)
        except TokenRefused as refused:
            _refuse(EventRefusal.INVALID_REQUEST, refused.why)
        self._check_names(unverified)
        await self._check_signature(unverified)
        self._check_time(unverified)
        return self._read(unverified)

    def _check_names(self, unverified: UnverifiedSet) -> None:
        """Checks who made the token, of what kind it is (RFC 8725 3.11) and for whom it was made."""
        signer = self.settings.signer
        if unverified.unverified_issuer != signer.issuer:
            _refuse(EventRefusal.INVALID_ISSUER, "the issuer is not this stream's transmitter")
        if _bare(unverified.jws.unverified_type) != _bare(signer.token_type):
            _refuse(EventRefusal.INVALID_REQUEST, "the type (`typ`) is not that of a security event token")
        if unverified.unverified_audience != signer.audience:
            _refuse(EventRefusal.INVALID_AUDIENCE, "the event was made for another receiver")

    async def _check_signature(self, unverified: UnverifiedSet) -> None:
        """Checks that header, key and configuration agree on the algorithm, and then the signature with that key."""
        algorithm = unverified.jws.unverified_algorithm
        if algorithm not in self.settings.signer.algorithms:
            _refuse(EventRefusal.INVALID_KEY, "the algorithm is not one configured for this transmitter")
        try:
            key = await self.keys.key(unverified.jws.unverified_key_id)
        except TokenRefused:
            _refuse(EventRefusal.INVALID_KEY, "the key is not one that this transmitter publishes, or is not fit")
        if algorithm not in key.algorithms:
            _refuse(EventRefusal.INVALID_KEY, "the algorithm is not one that the key is published for")
        if not key.signed(unverified.jws):
            _refuse(EventRefusal.AUTHENTICATION_FAILED, "the signature does not verify")

    def _check_time(self, unverified: UnverifiedSet) -> None:
        """Checks that the token is of now: its `jti` is remembered for longer than it may be old."""
        now, left = self.clock.now().timestamp(), self.clock.unsettled_for()
        if left is not None:
            message = "internal error: the gateway's clock was stepped and has not settled; try again later"
            raise Outage(Reason.INTERNAL, message, retry_after=left)
        if unverified.unverified_issue_time > now + self._leeway:
            _refuse(EventRefusal.INVALID_REQUEST, "the event was issued in the future; check the clocks")
        if unverified.unverified_issue_time < now - MAX_EVENT_AGE.total_seconds():
            _refuse(EventRefusal.INVALID_REQUEST, f"the event is older than {MAX_EVENT_AGE.days} days")

    @property
    def _leeway(self) -> float:
        return self.settings.signer.leeway.total_seconds()

    def _read(self, verified: UnverifiedSet) -> VerifiedEvent:
        """Returns what a verified token tells."""
        source, event_id = self.settings.source, verified.unverified_event_id
        event_type, content = verified.unverified_event_type, verified.unverified_event
        if event_type in VERIFICATION:
            return StreamVerification(source, event_id, _state(content.get("state")))
        if event_type in STREAM_UPDATED:
            return StreamUpdated(source, event_id, _status(content.get("status")), reason_of(content))
        kind = OBEYED.get(event_type)
        if kind is None:
            return IgnoredEvent(source, event_id, shown(event_type), "its type calls for nothing here")
        try:
            subject_id = subject_of(self.settings, verified.unverified_claims, content)
        except NotAboutAUser as nobody:
            return IgnoredEvent(source, event_id, shown(event_type), str(nobody))
        event = SecurityEvent(
            kind=kind,
            subject_issuer=self.settings.users_of,
            subject_id=subject_id,
            event_time=self._event_time(verified),
            source=source,
            event_id=event_id,
            reason=reason_of(content),
        )
        return self._named(event)

    def _named(self, event: SecurityEvent) -> VerifiedEvent:
        """Returns the event with its subject called as the ledger knows users."""
        if self.settings.named_by is UserName.SUB:
            return event
        identity = readable_identity(self.settings.users_alias, event.subject_id)
        if identity is None:
            why = "its subject's name is too long for a SourceIdentity"
            return IgnoredEvent(event.source, event.event_id, event.kind.value, why)
        return NamedEvent(event, identity)

    def _event_time(self, verified: UnverifiedSet) -> datetime:
        """Returns when it happened: the event's own time (CAEP 1.0 2, RFC 8417 `toe`), or that of the token.

        NOTE: it decides which block an enabled account lifts, so one after the token's own issue is refused.
        """
        event, claims, issued = verified.unverified_event, verified.unverified_claims, verified.unverified_issue_time
        told = event.get("event_timestamp", claims.get("toe", issued))
        if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= issued + self._leeway:
            _refuse(EventRefusal.INVALID_REQUEST, "the event's time must be seconds, not after the token's own time")
        return datetime.fromtimestamp(min(told, self.clock.now().timestamp()), UTC)


def _state(value: Any) -> str | None:
    """Returns the state that a verification event repeats."""
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_STATE or not value.isascii():
        _refuse(EventRefusal.INVALID_REQUEST, f"the state must be 1 to {_LONGEST_STATE} ASCII characters")
    return value


def _status(value: Any) -> str:
    """Returns the stream's new status."""
    if not isinstance(value, str) or value not in STREAM_STATES:
        _refuse(EventRefusal.INVALID_REQUEST, "the stream's status must be enabled, paused or disabled")
    return value


def _bare(kind: str | None) -> str:
    """Returns a media type without its optional `application/` and in lower case (RFC 7515 4.1.9)."""
    return (kind or "JWT").lower().removeprefix("application/")


def _refuse(code: EventRefusal, why: str) -> NoReturn:
    raise EventRefused(code, why)
