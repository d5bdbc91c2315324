"""What people are asked: the question that a plan amounts to, and what it adds to what the task already has."""

from collections.abc import Iterable
from datetime import datetime

from remit_server.application.issuing.hearing import Case, known
from remit_server.application.planning.choosing import FAST
from remit_server.application.planning.plan_session import Plan
from remit_server.domain.approval import (
    Approval,
    ApprovalKind,
    ApprovalNeed,
    ApprovalState,
    approval_digest,
    handles_of,
)
from remit_server.domain.grant import Grant
from remit_server.domain.lifecycle_records import ApprovalAsked
from remit_server.domain.permission import Permission, as_permissions
from remit_server.domain.task import TaskId
from remit_server.iam import Document, Witness, allows_of, contains


def digest_of(case: Case, plan: Plan, task_id: TaskId) -> str:
    """Returns the digest of what would be issued by this plan."""
    subject = known(case.delegation).subject
    return approval_digest(
        session_policy=plan.endless_policy,
        role_arn=plan.role.arn,
        subject=(subject.issuer, subject.subject),
        actor_id=case.actor.actor_id,
        task_id=task_id,
        duration=plan.duration,
    )


def question(
    case: Case,
    plan: Plan,
    grant: Grant,
    *,
    approval_id: str,
    lapse_time: datetime,
    has: Iterable[str] = (),
) -> Approval:
    """Returns the approval that a plan needs before, or the review of what it issues by break-glass.

    `has` are the session policies of what the task already has.
    """
    subject = known(case.delegation).subject
    return Approval(
        approval_id=approval_id,
        kind=ApprovalKind.BEFORE if plan.approval else ApprovalKind.REVIEW,
        state=ApprovalState.PENDING,
        digest=digest_of(case, plan, grant.task_id),
        task_id=grant.task_id,
        subject_issuer=subject.issuer,
        subject_id=subject.subject,
        subject_handles=handles_of(subject.issuer, subject.subject, subject.email),
        actor_id=case.actor.actor_id,
        purpose=case.ask.intent.purpose,
        session_policy=plan.endless_policy,
        role_arn=plan.role.arn,
        entitlements=plan.entitlements,
        adds=added(plan.endless_policy, has),
        duration=plan.duration,
        need=_need(plan),
        policy_revision=known(case.question).revision.digest,
        create_time=case.time,
        lapse_time=lapse_time,
    )


def _need(plan: Plan) -> ApprovalNeed:
    """Returns who has to say yes, before or afterwards."""
    return known(plan.approval or plan.review)


def asked(case: Case, approval: Approval, grant: Grant) -> ApprovalAsked:
    """Returns the record that people are asked."""
    return ApprovalAsked(
        who=case.who,
        task_id=approval.task_id,
        grant_id=grant.grant_id,
        approval_id=approval.approval_id,
        digest=approval.digest,
        purpose=approval.purpose,
        role_arn=approval.role_arn,
        entitlements=approval.entitlements,
        session_policy=approval.session_policy,
        duration_seconds=int(approval.duration.total_seconds()),
        groups=approval.need.groups,
        approved_by="subject" if approval.need.by_subject else "others",
        min_approvers=approval.need.min_approvers,
        lapse_time=approval.lapse_time,
        input_digest=known(case.basis).question.digest,
        policy_revision=approval.policy_revision,
        review=approval.kind is ApprovalKind.REVIEW,
        joined=False,
        ceiling_digest=grant.ceiling_digest,
        circumstances_digest=known(case.basis).circumstances.digest,
        decision_digest=known(case.basis).decision_digest,
    )


def added(session_policy: str, has: Iterable[str]) -> tuple[Permission, ...]:
    """Returns the permissions of a session policy that what the task already has is not proven to hold."""
    held = tuple(statement for text in has for statement in allows_of(Document.parse(text, authored=True)).statements)
    wanted = as_permissions(allows_of(Document.parse(session_policy, authored=True)))
    if not held:
        return wanted
    return tuple(
        one
        for one in wanted
        if not isinstance(contains(Document((one.statement(),)), Document(held), budget=FAST), Witness)
    )
