"""How a live grant's new plan becomes a renewal: what it is then, and what the record of it says."""

from dataclasses import dataclass
from datetime import timedelta

from remit_server.application.issuing.grants import single_use_token
from remit_server.application.issuing.hearing import Case, known
from remit_server.application.issuing.requests import Ask
from remit_server.application.lifecycle.ports import RenewalAuthorization
from remit_server.application.planning.plan_session import Plan
from remit_server.domain.changing import changed
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Admitted
from remit_server.domain.lifecycle_records import RenewalAuthorized
from remit_server.domain.secret import Secret
from remit_server.domain.session_names import BY_TAG, GRANT_TAG, revision_part
from remit_server.domain.task import GrantId, TaskId, TaskIntent


@dataclass(frozen=True, slots=True)
class RenewRequest:
    """One agent's wish for new credentials of a grant; an empty token says that the user is not there."""

    by: Admitted
    task_id: TaskId
    grant_id: GrantId
    unverified_subject_token: Secret
    requested_duration: timedelta | None = None
    narrow: bool = False

    @property
    def is_offline(self) -> bool:
        """Says whether the user is not there."""
        return not self.unverified_subject_token


def ask_of(request: RenewRequest, grant: Grant | None = None) -> Ask:
    """Returns the ask that a renewal amounts to: the grant's intent, as far as it is known, and its own time."""
    return Ask(
        by=request.by,
        unverified_subject_token=request.unverified_subject_token,
        task_id=request.task_id,
        intent=TaskIntent("") if grant is None else known(grant.intent),
        requested_duration=request.requested_duration or (grant.requested_duration if grant else None),
        narrow=request.narrow or (grant is not None and grant.narrow),
    )


def authorization_of(case: Case, plan: Plan, *, narrowed: bool) -> RenewalAuthorization:
    """Returns everything that authorizing this renewal writes."""
    before, basis = known(case.renews), known(case.basis)
    after = _after(before, plan, known(case.question).revision.digest)
    record = RenewalAuthorized(
        who=case.who,
        task_id=after.task_id,
        grant_id=after.grant_id,
        role_arn=after.role_arn,
        entitlements=after.entitlements,
        session_policy=after.session_policy,
        session_policy_digest=after.session_policy_digest,
        covers=plan.covers,
        unguarded=after.unguarded,
        ceiling_digest=after.ceiling_digest,
        input_digest=basis.question.digest,
        policy_revision=after.policy_revision,
        tags=after.tags,
        expire_time=plan.expire_time,
        offline=not case.ask.unverified_subject_token,
        narrowed=narrowed,
        circumstances_digest=basis.circumstances.digest,
        decision_digest=basis.decision_digest,
    )
    return RenewalAuthorization(
        presented=case.presented,
        before=before,
        after=after,
        until=plan.expire_time,
        single_use=single_use_token(case),
        basis=basis,
        record=record,
        proven_within=plan.above.session_policy_digest if plan.above else "",
    )


def _after(before: Grant, plan: Plan, revision: str) -> Grant:
    """Returns the grant as it is once it is renewed: the same task, subject and actor under a new session policy."""
    tags = ((GRANT_TAG, dict(before.tags)[GRANT_TAG]), (BY_TAG, f"{before.actor_part}.{revision_part(revision)}"))
    return changed(
        before,
        session_policy=plan.session_policy,
        session_policy_digest=plan.session_policy_digest,
        entitlements=plan.entitlements,
        policy_revision=revision,
        ceiling_digest=plan.ceiling_digest,
        tags=tags,
        expire_time=max(before.expire_time, plan.expire_time),
        unguarded=plan.unguarded,
        outlives_task=plan.outlives_task,
        offline_renewal=plan.offline_renewal,
    )
