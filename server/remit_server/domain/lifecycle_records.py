"""Audit records of what happens to grants and tasks after they began: renewals, leases, revokes, approvals."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from remit_server.domain.audit import AuditRecord, Who


@dataclass(frozen=True, slots=True)
class RenewalAuthorized(AuditRecord):
    """A renewal was decided and proven, and STS may now be called; `covers` is the containment witness."""

    kind: ClassVar[str] = "renewal_authorized"
    who: Who
    task_id: str
    grant_id: str
    role_arn: str
    entitlements: tuple[str, ...]
    session_policy: str
    session_policy_digest: str
    covers: tuple[str, ...]
    unguarded: tuple[str, ...]
    ceiling_digest: str
    input_digest: str
    policy_revision: str
    tags: tuple[tuple[str, str], ...]
    expire_time: datetime
    offline: bool
    narrowed: bool
    circumstances_digest: str = ""
    decision_digest: str = ""


@dataclass(frozen=True, slots=True)
class CredentialsRenewed(AuditRecord):
    """STS answered a renewal; durable before the caller sees a key."""

    kind: ClassVar[str] = "credentials_renewed"
    signals: ClassVar[bool] = True
    who: Who
    task_id: str
    grant_id: str
    access_key_id: str
    session_policy_digest: str
    policy_revision: str
    expire_time: datetime
    packed_policy_percent: int | None
    narrowed: bool


@dataclass(frozen=True, slots=True)
class RenewalFailed(AuditRecord):
    """A renewal has no credentials that anybody was given: STS refused, or its outcome was never recorded.

    What the grant gave before lives on. `may_exist` says that AWS may have made some.
    """

    kind: ClassVar[str] = "renewal_failed"
    task_id: str
    grant_id: str
    reason: str
    may_exist: bool


@dataclass(frozen=True, slots=True)
class LeaseTaken(AuditRecord):
    """The task ends when nobody keeps it for so long."""

    kind: ClassVar[str] = "lease_taken"
    who: Who
    task_id: str
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class LeasesExtended(AuditRecord):
    """No gateway had been serving since then: every lease got its full grace again."""

    kind: ClassVar[str] = "leases_extended"
    nobody_since: datetime
    leases: int


@dataclass(frozen=True, slots=True)
class GrantsRevoked(AuditRecord):
    """Grants were revoked: from here on no new credentials of them anywhere.

    `target` is what the revoke was aimed at, `grants` the first 100 that it ended of `grant_count`; `grants_digest` is
    SHA-256 over the sorted ids of all of them. `task_id` is set when it is about one task.
    """

    kind: ClassVar[str] = "grants_revoked"
    signals: ClassVar[bool] = True
    revocation_id: str
    target: str
    target_key: str
    target_issuer: str
    cause: str
    by: str
    why: str
    block: bool
    grant_count: int
    grants: tuple[str, ...]
    grants_digest: str
    credentials_until: datetime | None
    denying: bool
    task_id: str = ""


@dataclass(frozen=True, slots=True)
class BlockLifted(AuditRecord):
    """A block was lifted: what was revoked stays revoked."""

    kind: ClassVar[str] = "block_lifted"
    block_id: str
    target: str
    target_key: str
    target_issuer: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class SessionsDenied(AuditRecord):
    """AWS took the denies of these revocations; by `assumed_by` it refuses what they cover, unless seen before."""

    kind: ClassVar[str] = "sessions_denied"
    account: str
    revocations: tuple[str, ...]
    write_time: datetime
    assumed_by: datetime


@dataclass(frozen=True, slots=True)
class DenialEffective(AuditRecord):
    """AWS refuses the credentials of these revocations: seen on a session denied with them, or assumed by time."""

    kind: ClassVar[str] = "denial_effective"
    signals: ClassVar[bool] = True
    account: str
    revocations: tuple[str, ...]
    effective_time: datetime
    effective: str
    grant_count: int


@dataclass(frozen=True, slots=True)
class DenialWithoutRoom(AuditRecord):
    """There is no room to deny these revocations without denying the living: time guards end their credentials."""

    kind: ClassVar[str] = "denial_without_room"
    account: str
    revocations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RevocationPolicyForeign(AuditRecord):
    """A revocation policy carries the mark of another ledger: it is not written, and denies that need it wait."""

    kind: ClassVar[str] = "revocation_policy_foreign"
    account: str
    policy: str
    mark: str


@dataclass(frozen=True, slots=True)
class RevocationPolicyChanged(AuditRecord):
    """Somebody else changed a revocation policy, which may have let the revoked in again: it is written anew."""

    kind: ClassVar[str] = "revocation_policy_changed"
    account: str
    policy: str


@dataclass(frozen=True, slots=True)
class ApprovalAsked(AuditRecord):
    """A person is asked for exactly this; no credentials exist for it (`review`: they may, and it is to be reviewed).

    `joined` says that the task had asked the same already: the grant waits for the same answer.
    """

    kind: ClassVar[str] = "approval_asked"
    signals: ClassVar[bool] = True
    who: Who
    task_id: str
    grant_id: str
    approval_id: str
    digest: str
    purpose: str
    role_arn: str
    entitlements: tuple[str, ...]
    session_policy: str
    duration_seconds: int
    groups: tuple[str, ...]
    approved_by: str
    min_approvers: int
    lapse_time: datetime
    input_digest: str
    policy_revision: str
    review: bool
    joined: bool
    ceiling_digest: str = ""
    circumstances_digest: str = ""
    decision_digest: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalDecided(AuditRecord):
    """A person said yes or no; `state` is where the approval stands after that."""

    kind: ClassVar[str] = "approval_decided"
    signals: ClassVar[bool] = True
    approval_id: str
    task_id: str
    digest: str
    approver_issuer: str
    approver_id: str
    approved: bool
    comment: str
    state: str


@dataclass(frozen=True, slots=True)
class ApprovalClosed(AuditRecord):
    """An approval lapsed, or what would be issued is no longer what was shown."""

    kind: ClassVar[str] = "approval_closed"
    signals: ClassVar[bool] = True
    approval_id: str
    task_id: str
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class ReviewOutstanding(AuditRecord):
    """Nobody has reviewed what was issued by break-glass: the reviewers are told again."""

    kind: ClassVar[str] = "review_outstanding"
    approval_id: str
    task_id: str
    since: datetime


@dataclass(frozen=True, slots=True)
class NotificationGivenUp(AuditRecord):
    """A receiver took no message about the record of this sequence for a day: it is not told of it any more."""

    kind: ClassVar[str] = "notification_given_up"
    receiver: str
    notified: str
    sequence_told_of: int
    attempts: int
    why: str


@dataclass(frozen=True, slots=True)
class OperatorCalled(AuditRecord):
    """Somebody of the security side called, and what came of it."""

    kind: ClassVar[str] = "operator_called"
    method: str
    caller_issuer: str
    caller_id: str
    peer: str
    allowed: bool
    reason: str
    policy_revision: str
    about: str
