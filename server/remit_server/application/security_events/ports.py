"""What the security events need from outside: one verb each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from remit_server.domain.audit import AuditRecord
from remit_server.domain.security_event import EventRefused, SecurityEvent, VerifiedEvent


@dataclass(frozen=True, slots=True)
class UnverifiedWebhook:
    """A call of a webhook as it came: its `Remit-Signature`, None unless there is exactly one, and its body."""

    unverified_signature: str | None
    unverified_body: bytes = field(repr=False)


Unverified_contra = TypeVar("Unverified_contra", contravariant=True)


class VerifyEvent(Protocol[Unverified_contra]):
    """Proves who tells an event, and reads it."""

    async def __call__(self, unverified: Unverified_contra, /) -> VerifiedEvent:
        """Returns the event.

        Raises EventRefused, or Outage when it cannot be judged now: it is then told again.
        """
        ...


class RevokeForEvent(Protocol):
    """Does to grants, tokens and blocks what an event means."""

    async def __call__(self, event: SecurityEvent, /) -> bool:
        """Makes the revoke, the block or its lifting durable, in one transaction with (`source`, `event_id`).

        Returns whether the event was new: one that was seen before (within REMEMBERED_FOR at least) changes nothing.
        ACCOUNT_ENABLED lifts blocks that this source made about this subject, not those of later events.
        Raises Outage when it could not be made durable: the event is not acknowledged and will come again.
        """
        ...


class RecordEventOnce(Protocol):
    """Records events that change nothing here."""

    async def __call__(self, source: str, event_id: str, record: AuditRecord, /) -> bool:
        """Writes the record and remembers (`source`, `event_id`), in one transaction; returns whether it was new.

        What was seen before (within REMEMBERED_FOR at least) is not recorded again. Raises Outage.
        """
        ...


class SeenEvent(Protocol):
    """Knows which events came."""

    async def __call__(self, source: str, event_id: str, /) -> bool:
        """Says whether RecordEventOnce remembers it. Raises Outage."""
        ...


class RecordAggregate(Protocol):
    """Appends a record to the chain (`Ledger.record` is one)."""

    async def __call__(self, record: AuditRecord, /) -> None:
        """Returns when it is durable. Raises Outage."""
        ...


class HoldName(Protocol):
    """Lets one process of all replicas do a piece of work."""

    async def __call__(self, name: str, holder: str, seconds: float, /) -> bool:
        """Says whether `holder` now holds the name for so long by the database's clock: it was free, lapsed or its own.

        Raises Outage.
        """
        ...


class LiveSubjects(Protocol):
    """Knows for whom agents work at present."""

    async def __call__(self, issuer: str, /) -> Sequence[str]:
        """Returns the ids of the issuer's subjects that have live grants. Raises Outage."""
        ...


class BlockedSubjects(Protocol):
    """Knows who is blocked, and by whom."""

    async def __call__(self, issuer: str, source: str, /) -> Sequence[str]:
        """Returns the ids of the issuer's subjects under a block that this source made. Raises Outage."""
        ...


class SubjectsNamed(Protocol):
    """Knows whose SourceIdentity it is."""

    async def __call__(self, issuer: str, source_identity: str, /) -> Sequence[str]:
        """Returns the ids of the issuer's subjects that had grants under this SourceIdentity. Raises Outage."""
        ...


class NameOf(Protocol):
    """Knows how an identity provider's own API calls a subject."""

    async def __call__(self, subject_id: str, /) -> str | None:
        """Returns the name, or None when it is not known. Raises Outage."""
        ...


class AccountStatus(Enum):
    """What an identity provider says of an account when it is asked."""

    ACTIVE = "active"
    DISABLED = "disabled"


class AskStatus(Protocol):
    """Asks an identity provider about one of its accounts."""

    async def __call__(self, subject_id: str, /) -> AccountStatus:
        """Returns what it says. Raises StatusUnknown for everything but a clear answer."""
        ...


class StatusUnknown(Exception):  # noqa: N818 - named for what it says
    """The identity provider gave no clear answer; says why. Nothing follows from it."""


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll brought: tokens by the name they are to be acknowledged by, and whether more wait already."""

    unverified_sets: Mapping[str, str] = field(repr=False)
    more_available: bool


class PollEvents(Protocol):
    """Fetches events from a transmitter (RFC 8936)."""

    async def __call__(self, acknowledged: Sequence[str], refused: Mapping[str, EventRefused], /) -> Polled:
        """Tells what became of the events of the last poll, waits for the next, and returns them.

        Raises TransmitterUnavailable when that was not done: nothing was told then, as far as anyone may rely on.
        """
        ...


class TransmitterUnavailable(Exception):  # noqa: N818 - named for what it says
    """A transmitter did not answer as it should; says why."""


class NoAnswerYet(TransmitterUnavailable):
    """A transmitter did not answer within the time of one poll: mostly there is nothing to tell."""
