"""What a revoke is: whom or what it ends, why, and what AWS has to be told so that it refuses what is out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MAX_WHY = 512
DENY_POLICIES, DENY_POLICY_CHARACTERS = 4, 6_144  # customer-managed policies of an account, and AWS's room in each
DENY_ROOM = DENY_POLICIES * DENY_POLICY_CHARACTERS


class RevokeCause(StrEnum):
    """Why grants were revoked."""

    REQUESTED = "REQUESTED"
    TASK_ENDED = "TASK_ENDED"
    LEASE_LOST = "LEASE_LOST"
    SECURITY_EVENT = "SECURITY_EVENT"
    ROLLBACK = "ROLLBACK"
    ORPHANED = "ORPHANED"
    REVIEW = "REVIEW"

    @property
    def is_required(self) -> bool:
        """Says whether AWS is told in any case: of the others while there is room, else their time guard ends it."""
        return self in {RevokeCause.REQUESTED, RevokeCause.SECURITY_EVENT, RevokeCause.ROLLBACK, RevokeCause.REVIEW}


class TargetKind(StrEnum):
    """What a revoke can be aimed at."""

    GRANT = "GRANT"
    TASK = "TASK"
    SUBJECT = "SUBJECT"
    ACTOR = "ACTOR"
    REVISION = "REVISION"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom or what a revoke ends: a grant or task by its id, an actor by its id, a policy revision by its digest.

    A subject is `key` of `issuer`; the others have no issuer.
    """

    kind: TargetKind
    key: str
    issuer: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value.lower()} {self.key}{f' of {self.issuer}' if self.issuer else ''}"


@dataclass(frozen=True, slots=True)
class RevokeOrder:
    """One revoke: what, why, on whose word. `block` also refuses what comes later, until the block is lifted.

    `by` names a person (`<alias>:<subject>`), an actor, or the source of a security event; `why` is theirs.
    """

    revocation_id: str
    target: Target
    cause: RevokeCause
    by: str
    why: str
    block: bool = False


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a revoke did: how many live grants it ended, the first 100 of them by name, until when they work at most.

    `denying` says that AWS is being told; without it their time guards end them.
    """

    revocation_id: str
    revoke_time: datetime
    grant_count: int
    grants: tuple[str, ...]
    credentials_until: datetime | None
    denying: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A block that stands, by the id of the revoke that set it."""

    block_id: str
    target: Target
    create_time: datetime
    by: str
    why: str


class DenyTag(StrEnum):
    """The session tags that denies go by (session_names.py)."""

    GRANT = "remit:grant"
    BY = "remit:by"


class Effective(StrEnum):
    """How it is known that AWS refuses: a denied session was seen refused, or AWS had the time it is said to take."""

    OBSERVED = "OBSERVED"
    ASSUMED = "ASSUMED"


@dataclass(frozen=True, slots=True)
class SessionDeny:
    """One deny that AWS must be told: sessions whose tag matches and, where given, that were opened before a time.

    `number` is its place in the outbox. `pattern` is a StringLike pattern: `<subject>.<task>.<grant>`,
    `<subject>.<task>.*` or `<subject>.*` of `remit:grant`, `<actor>.*` or `*.<revision>` of `remit:by`; `subject` its
    26-character part when it starts with one. `issued_before` is a whole second, None for a grant's or an ended task's
    own pattern, which never issues again. No session it covers was opened after `last_issued` nor works after
    `covers_until`. `written` says that AWS was told it once: then it stays told, whatever the room, until
    `covers_until`.
    """

    number: int
    account: str
    tag: DenyTag
    pattern: str
    subject: str
    issued_before: datetime | None
    last_issued: datetime
    covers_until: datetime
    required: bool
    revoke_time: datetime
    written: bool = False


def opened_before(time: datetime) -> datetime:
    """Returns the bound on `aws:TokenIssueTime`, in whole seconds, that covers every session opened until then."""
    whole = time.replace(microsecond=0)
    return whole + timedelta(seconds=1)
