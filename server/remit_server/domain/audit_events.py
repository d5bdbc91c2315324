"""What is recorded of security events; what a revoke does to grants has records of its own."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from remit_server.domain.audit import AuditRecord, Who


@dataclass(frozen=True, slots=True)
class SecurityEventReceived(AuditRecord):
    """An event about a subject came, was verified, and is obeyed: what it revokes, blocks or lifts is on record."""

    kind: ClassVar[str] = "security_event_received"
    who: Who
    source: str
    event_id: str
    event: str
    event_time: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class SecurityEventIgnored(AuditRecord):
    """A verified event came that changes nothing here."""

    kind: ClassVar[str] = "security_event_ignored"
    source: str
    event_id: str
    event_type: str
    why: str


@dataclass(frozen=True, slots=True)
class SecurityEventsRefused(AuditRecord):
    """Events that were refused, or came again (`repeated`), counted per source, peer and reason over a minute."""

    kind: ClassVar[str] = "security_events_refused"
    source: str
    peer: str
    reason: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class EventStreamVerificationRequested(AuditRecord):
    """A person asked a transmitter to show that its stream works, by repeating a state."""

    kind: ClassVar[str] = "event_stream_verification_requested"
    source: str
    state_fingerprint: str


@dataclass(frozen=True, slots=True)
class EventStreamVerified(AuditRecord):
    """A verification event came over a stream: it works. `requested` says whether it repeats a state of ours."""

    kind: ClassVar[str] = "event_stream_verified"
    source: str
    event_id: str
    requested: bool
    state_fingerprint: str


@dataclass(frozen=True, slots=True)
class EventStreamUpdated(AuditRecord):
    """A transmitter says that it changed its stream: while it is paused or disabled, nobody's disabling is told."""

    kind: ClassVar[str] = "event_stream_updated"
    source: str
    event_id: str
    status: str
    reason: str
