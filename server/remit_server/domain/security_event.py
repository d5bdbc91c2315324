"""What an identity provider tells about its users after they logged in: values that exist only after verification.

The words are those of CAEP 1.0 and RISC 1.0; how they came (push, poll, webhook, a question asked) is in `source`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

# NOTE: an event older than MAX_EVENT_AGE is refused, so a memory of REMEMBERED_FOR lets no event through twice.
MAX_EVENT_AGE: Final = timedelta(days=7)
REMEMBERED_FOR: Final = timedelta(days=8)


class SecurityEventKind(StrEnum):
    """What an event means here."""

    SESSION_REVOKED = "SESSION_REVOKED"  # a revoke
    CREDENTIAL_CHANGE = "CREDENTIAL_CHANGE"  # a revoke
    ACCOUNT_DISABLED = "ACCOUNT_DISABLED"  # a revoke with a block
    ACCOUNT_ENABLED = "ACCOUNT_ENABLED"  # lifts that block


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """One verified event about one subject of one issuer.

    `source` says who told it: `ssf:<alias>`, `webhook:<name>` or `poll:<alias>`; `event_id` is unique there (the `jti`
    of a SET). `event_time` is when it happened, never later than the gateway's clock allows. `reason` is what the
    source gives as its reason, cut and printable: for records and people, never for a decision.
    """

    kind: SecurityEventKind
    subject_issuer: str
    subject_id: str
    event_time: datetime
    source: str
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class NamedEvent:
    """An event about whoever has this SourceIdentity: its source calls users by the claim that names them to AWS.

    The event's own `subject_id` is that name, which is no `sub`; whose it is the ledger knows.
    """

    event: SecurityEvent
    source_identity: str


@dataclass(frozen=True, slots=True)
class IgnoredEvent:
    """A verified event that changes nothing here: acknowledged and recorded, with the reason `why`."""

    source: str
    event_id: str
    event_type: str
    why: str


@dataclass(frozen=True, slots=True)
class StreamVerification:
    """The transmitter shows that its stream works; `state` repeats what was asked for, None when nobody asked."""

    source: str
    event_id: str
    state: str | None


@dataclass(frozen=True, slots=True)
class StreamUpdated:
    """The transmitter changed its stream: `enabled`, `paused` or `disabled`. The last two mean that nothing comes."""

    source: str
    event_id: str
    status: str
    reason: str


VerifiedEvent = SecurityEvent | NamedEvent | IgnoredEvent | StreamVerification | StreamUpdated


class EventRefusal(StrEnum):
    """Why an event is refused, in the words of RFC 8935 2.4 and SSF 1.0 8.1.4.1."""

    INVALID_REQUEST = "invalid_request"
    INVALID_KEY = "invalid_key"
    INVALID_ISSUER = "invalid_issuer"
    INVALID_AUDIENCE = "invalid_audience"
    AUTHENTICATION_FAILED = "authentication_failed"
    ACCESS_DENIED = "access_denied"
    INVALID_STATE = "invalid_state"


class EventRefused(Exception):  # noqa: N818 - named for what it says
    """An event is refused and will be again; `why` names the check that failed, never a part of the event."""

    def __init__(self, code: EventRefusal, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def awaited_states(source: str) -> str:
    """Returns under which source the states are remembered that a transmitter was asked to repeat."""
    return f"{source}#awaited"


def repeated_states(source: str) -> str:
    """Returns under which source the states are remembered that it repeated."""
    return f"{source}#verified"
