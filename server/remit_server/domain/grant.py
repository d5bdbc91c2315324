"""The record that ties task, subject, actor and permissions together until a time, and how it may change."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from remit_server.domain.revocation import Effective, RevokeCause
from remit_server.domain.session_names import BY_TAG, GRANT_TAG
from remit_server.domain.task import GrantId, TaskId, TaskIntent


class GrantState(StrEnum):
    """Where a grant stands; the legal ways between are in `TRANSITIONS`."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    REFUSED = "REFUSED"
    LAPSED = "LAPSED"
    AUTHORIZED = "AUTHORIZED"
    ISSUED = "ISSUED"
    FAILED = "FAILED"
    REVOKING = "REVOKING"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"


# NOTE: an authorised grant whose outcome nobody knows may have live credentials (STS may have answered), so it goes to
# REVOKING, never to FAILED. REVOKING ends when AWS refuses: by a written deny (REVOKED) or by the time guard (EXPIRED).
# A failed grant has no credentials; the same request may be tried again under the same grant, so that one
# request_id never has two. One that waits for a person has none either, and is authorized under the same id once that
# person said yes.
TRANSITIONS: dict[GrantState, frozenset[GrantState]] = {
    GrantState.PENDING_APPROVAL: frozenset({GrantState.AUTHORIZED, GrantState.REFUSED, GrantState.LAPSED}),
    GrantState.REFUSED: frozenset(),
    GrantState.LAPSED: frozenset(),
    GrantState.AUTHORIZED: frozenset({GrantState.ISSUED, GrantState.FAILED, GrantState.REVOKING}),
    GrantState.ISSUED: frozenset({GrantState.ISSUED, GrantState.REVOKING, GrantState.EXPIRED}),
    GrantState.REVOKING: frozenset({GrantState.REVOKED, GrantState.EXPIRED}),
    GrantState.FAILED: frozenset({GrantState.AUTHORIZED}),
    GrantState.REVOKED: frozenset(),
    GrantState.EXPIRED: frozenset(),
}


def sources_of(target: GrantState) -> frozenset[GrantState]:
    """Returns the states from which a grant may go to `target`: what a compare-and-set asks for."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


@dataclass(frozen=True, slots=True)
class Issuance:
    """One set of credentials of a grant, without them: what was sent to STS and what came back."""

    access_key_id: str
    session_policy_digest: str
    policy_revision: str
    issue_time: datetime
    expire_time: datetime
    packed_policy_percent: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """This task, this subject and actor, this session policy on this role, until then.

    `intent` is what renewing it decides about again (None where an earlier version did not keep it);
    `requested_duration` and `narrow` are as it was asked for. `approval_id` names the approval it rests on,
    `parent_grant_id` the grant within which it lies, and `parent_task_id` that one's task.
    `revocation_id`, `revoke_cause` and what is known of its effect are there once it is revoked.
    """

    grant_id: GrantId
    task_id: TaskId
    subject_issuer: str
    subject_id: str
    actor_id: str
    state: GrantState
    role_arn: str
    region: str
    session_policy: str
    session_policy_digest: str
    entitlements: tuple[str, ...]
    policy_revision: str
    ceiling_digest: str
    source_identity: str
    tags: tuple[tuple[str, str], ...]
    issue_time: datetime
    expire_time: datetime
    unguarded: tuple[str, ...] = ()
    outlives_task: bool = False
    issuances: tuple[Issuance, ...] = ()
    revoke_time: datetime | None = None
    intent: TaskIntent | None = None
    requested_duration: timedelta | None = None
    narrow: bool = False
    offline_renewal: bool = False
    break_glass: bool = False
    approval_id: str | None = None
    parent_grant_id: GrantId | None = None
    parent_task_id: TaskId | None = None
    revocation_id: str | None = None
    revoke_cause: RevokeCause | None = None
    effective_time: datetime | None = None
    effective: Effective | None = None

    @property
    def name(self) -> str:
        """The resource name `tasks/{task}/grants/{grant}`."""
        return f"tasks/{self.task_id}/grants/{self.grant_id}"

    @property
    def parent_name(self) -> str | None:
        """The resource name of the grant within which it lies; None where there is none."""
        return f"tasks/{self.parent_task_id}/grants/{self.parent_grant_id}" if self.parent_task_id else None

    @property
    def is_attenuated(self) -> bool:
        """Says whether it was attenuated from a grant of its own task: no policy decided about it, and none will."""
        return self.parent_grant_id is not None and self.parent_task_id == self.task_id

    @property
    def account(self) -> str:
        """The twelve digits of its role's account."""
        return self.role_arn.split(":")[4]

    @property
    def subject_part(self) -> str:
        """What every session of its subject has in common in the tag `remit:grant`."""
        return dict(self.tags)[GRANT_TAG].partition(".")[0]

    @property
    def actor_part(self) -> str:
        """What every session of its actor has in common in the tag `remit:by`."""
        return dict(self.tags)[BY_TAG].partition(".")[0]

    @property
    def size(self) -> int:
        """Characters of the session policy: STS takes 2,048."""
        return len(self.session_policy)

    @property
    def policy_end(self) -> datetime:
        """When its session policy ends: a renewal may have been for less time than was left of the earlier one."""
        ends = (one.expire_time for one in self.issuances if one.session_policy_digest == self.session_policy_digest)
        return max(ends, default=self.expire_time)

    def is_live(self, now: datetime) -> bool:
        """Says whether it may have new credentials."""
        return self.state is GrantState.ISSUED and now < self.expire_time

    def may_be_repeated(self, now: datetime) -> bool:
        """Says whether its credentials may be issued again as they were last."""
        return self.is_live(now) and now < self.policy_end
