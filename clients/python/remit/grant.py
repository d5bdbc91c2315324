"""What the gateway answers: grants, credentials, what a preview says, what ending a task did."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from remit.errors import FailedPermission, Refused, Remedy
from remit.intent import Permission


class GrantState(StrEnum):
    """Where a grant stands (the proto's `GrantState`)."""

    AUTHORIZED = "AUTHORIZED"
    ISSUED = "ISSUED"
    FAILED = "FAILED"
    REVOKING = "REVOKING"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    REFUSED = "REFUSED"
    LAPSED = "LAPSED"
    UNKNOWN = "UNKNOWN"
    """A state that this version of the client does not know."""


class TaskEventKind(StrEnum):
    """What happened to a task (the proto's `TaskEventKind`)."""

    HEARTBEAT = "HEARTBEAT"
    ISSUED = "ISSUED"
    RENEWED = "RENEWED"
    NARROWED = "NARROWED"
    REVOKED = "REVOKED"
    APPROVAL_DECIDED = "APPROVAL_DECIDED"
    ENDED = "ENDED"
    UNKNOWN = "UNKNOWN"
    """A kind that this version of the client does not know."""


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a task. `grants` are names; none with a revoke or an end means all of the task's.

    `cause` says why with a revoke or an end, as the proto's `RevokeCause` does (`LEASE_LOST`).
    """

    kind: TaskEventKind
    time: datetime | None
    grants: tuple[str, ...]
    approval: str | None
    approval_state: str | None
    cause: str | None
    lease_expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class Subject:
    """The user whom the agent works for, as their OIDC issuer names them."""

    issuer: str
    id: str


@dataclass(frozen=True, slots=True)
class PolicySize:
    """How much of STS's room a session policy takes: characters of 2,048, and packed percent where known."""

    characters: int
    packed_percent: int | None = None


@dataclass(frozen=True, slots=True)
class Issuance:
    """One set of credentials of a grant, without them."""

    access_key_id: str
    session_policy_digest: str
    policy_revision: str
    issue_time: datetime | None
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class Grant:
    """The record of what was given: this task, subject and actor, exactly this session policy, until `expire_time`.

    `expire_time` is an aware UTC time from which on AWS refuses the credentials. `session_policy` is the JSON that STS
    was given. `unguarded` names conditions that could not be guarded against resource policies which name the session.
    `approval` names what people said yes to, or review: with `break_glass` it was issued before they were asked.
    `parent` names the grant within which it lies, and with which it ends.
    """

    name: str
    task_id: str
    subject: Subject
    actor: str
    state: GrantState
    session_policy: str = field(repr=False)
    session_policy_digest: str = field(repr=False)
    size: PolicySize
    role_arn: str
    entitlements: tuple[str, ...]
    policy_revision: str
    ceiling_digest: str = field(repr=False)
    issuances: tuple[Issuance, ...]
    issue_time: datetime | None
    expire_time: datetime
    revoke_time: datetime | None
    unguarded: tuple[str, ...]
    outlives_task: bool
    offline_renewal: bool = False
    approval: str | None = None
    break_glass: bool = False
    parent: str | None = None

    @property
    def is_handed_on(self) -> bool:
        """Says whether it was given in a task that another agent handed on: it lies within a grant of that agent's."""
        return self.parent is not None and not self.parent.startswith(f"tasks/{self.task_id}/")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The AWS triple. `expire_time` (aware, UTC) is when it stops working, also where STS's own expiry is later."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expire_time: datetime
    region: str | None

    def __repr__(self) -> str:
        return (
            f"Credentials(access_key_id={self.access_key_id!r}, secret_access_key='***', session_token='***', "
            f"expire_time={self.expire_time.isoformat()!r}, region={self.region!r})"
        )


@dataclass(frozen=True, slots=True)
class Issued:
    """A grant with its credentials; `issue_time` is when STS was asked, by the gateway's clock."""

    grant: Grant
    credentials: Credentials
    issue_time: datetime | None


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """What ending a task did: `grants` get no new credentials.

    What is out works until `credentials_until` at the longest; None when nothing is out. `denying` says that AWS is
    being told to refuse it before that, which takes it seconds; without it the credentials run into their time guard.
    """

    end_time: datetime
    grants: tuple[str, ...]
    credentials_until: datetime | None
    denying: bool = False


@dataclass(frozen=True, slots=True)
class WouldIssue:
    """A preview's yes: the session policy that would be given to STS, and what it would rest on.

    `needs_approval` says that people would be asked first.
    """

    session_policy: str
    session_policy_digest: str
    size: PolicySize
    role_arn: str
    entitlements: tuple[str, ...]
    policy_revision: str
    expire_time: datetime
    needs_approval: bool = False


@dataclass(frozen=True, slots=True)
class WouldRefuse:
    """A preview's no, with what could be asked for instead; `str()` of it reads as the exception would."""

    reason: str
    message: str
    remedy: Remedy
    failures: tuple[FailedPermission, ...]
    offer: tuple[Permission, ...]
    split: tuple[tuple[Permission, ...], ...]

    def __str__(self) -> str:
        return str(self.error())

    def error(self) -> Refused:
        """Returns the exception that the request itself would raise."""
        return Refused(
            self.message,
            reason=self.reason,
            remedy=self.remedy,
            failures=self.failures,
            offer=self.offer,
            split=self.split,
        )


Preview = WouldIssue | WouldRefuse


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling, as the gateway sees it, and for whom; `groups` are those that policies see.

    `subject` and `subject_token_expire_time` are None where no user's token came with the question. `time` is the
    gateway's.
    """

    actor: str
    subject: Subject | None
    groups: tuple[str, ...]
    subject_token_expire_time: datetime | None
    policy_revision: str
    time: datetime | None


Decision = Grant | WouldRefuse
