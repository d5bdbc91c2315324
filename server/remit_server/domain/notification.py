"""Which records people are told of, beside the chain, and what is kept of telling them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from remit_server.domain.audit import AuditRecord
from remit_server.domain.lifecycle_records import (
    ApprovalAsked,
    ApprovalClosed,
    ApprovalDecided,
    DenialWithoutRoom,
    GrantsRevoked,
    ReviewOutstanding,
    RevocationPolicyForeign,
)
from remit_server.domain.revocation import RevokeCause


class NotificationKind(StrEnum):
    """What people can be told of."""

    APPROVAL_ASKED = "approval_asked"
    APPROVAL_DECIDED = "approval_decided"
    APPROVAL_CLOSED = "approval_closed"
    BREAK_GLASS_ISSUED = "break_glass_issued"
    REVIEW_OUTSTANDING = "review_outstanding"
    GRANTS_REVOKED = "grants_revoked"
    DENIAL_WITHOUT_ROOM = "denial_without_room"
    REVOCATION_POLICY_FOREIGN = "revocation_policy_foreign"


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one receiver: `sequence` is the place of its record in the chain, the same at every attempt.

    `body` is the record as JSON text. `attempts` counts those that failed.
    """

    number: int
    receiver: str
    kind: NotificationKind
    sequence: int
    body: str
    create_time: datetime
    attempts: int = 0


_ALWAYS: Final[dict[type[AuditRecord], NotificationKind]] = {
    ApprovalDecided: NotificationKind.APPROVAL_DECIDED,
    ApprovalClosed: NotificationKind.APPROVAL_CLOSED,
    ReviewOutstanding: NotificationKind.REVIEW_OUTSTANDING,
    DenialWithoutRoom: NotificationKind.DENIAL_WITHOUT_ROOM,
    RevocationPolicyForeign: NotificationKind.REVOCATION_POLICY_FOREIGN,
}
_BY_SOMEBODY: Final = frozenset({RevokeCause.REQUESTED, RevokeCause.REVIEW, RevokeCause.ROLLBACK})


def told_of(record: AuditRecord) -> NotificationKind | None:
    """Returns as what people are told of a record; None when they are not."""
    match record:
        case ApprovalAsked(joined=True):
            return None  # they were asked already
        case ApprovalAsked(review=review):
            return NotificationKind.BREAK_GLASS_ISSUED if review else NotificationKind.APPROVAL_ASKED
        case GrantsRevoked(cause=cause):
            return NotificationKind.GRANTS_REVOKED if cause in _BY_SOMEBODY else None
        case _:
            return _ALWAYS.get(type(record))
