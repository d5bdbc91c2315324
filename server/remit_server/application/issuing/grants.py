"""How a proven plan becomes a grant, a grant an STS order, and STS's answer an issuance."""

import hashlib
from datetime import datetime, timedelta

from remit_server.application.issuing.hearing import Case, known
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.plan_session import Plan
from remit_server.application.ports import Authorization, Entropy, Held, RequestKey
from remit_server.domain.audit import AuditRecord, GrantAuthorized, TaskStarted, Who
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.decision import Basis
from remit_server.domain.entitlement import MIN_STS_SECONDS
from remit_server.domain.grant import Grant, GrantState, Issuance
from remit_server.domain.session_names import session_tags, source_identity
from remit_server.domain.task import TASK_ID_BYTES, GrantId, Task, TaskId, TaskState, opaque_id


def authorization_of(
    case: Case,
    key: RequestKey,
    plan: Plan,
    grant_id: GrantId,
    entropy: Entropy,
    *,
    held: Held | None = None,
    asks: bool = False,
) -> Authorization:
    """Returns everything the AUTHORIZED transaction writes for this plan; a new task gets its id here.

    With `asks` the grant waits for people instead. What needs people's yes is authorized by what is `held` of them.
    """
    if plan.approval is not None and held is None and not asks:
        raise AssertionError("what people have to approve is authorized without them")
    task = case.task or _new_task(case, plan, TaskId(opaque_id(entropy(TASK_ID_BYTES))))
    grant = _grant(case, plan, task, grant_id, held=held, asks=asks)
    basis, who = known(case.basis), case.who
    records: list[AuditRecord] = []
    if case.task is None:
        records.append(TaskStarted(who, task.task_id, task.purpose, task.end_time))
    if not asks:
        records.append(_authorized_record(basis, who, key, plan, grant))
    return Authorization(
        key=key,
        presented=case.presented,
        grant=grant,
        new_task=task if case.task is None else None,
        single_use=single_use_token(case),
        basis=basis,
        records=records,
        held=held,
        proven_within=plan.above.session_policy_digest if plan.above else "",
    )


def single_use_token(case: Case) -> tuple[str, str] | None:
    """Returns (issuer, jti) of a subject token that is good for one task only, None for any other."""
    delegation = known(case.delegation)
    return (delegation.subject.issuer, known(delegation.token_id)) if delegation.single_use else None


def _new_task(case: Case, plan: Plan, task_id: TaskId) -> Task:
    """Opens a task of this subject and actor."""
    subject = known(case.delegation).subject
    return Task(
        task_id=task_id,
        subject_issuer=subject.issuer,
        subject_id=subject.subject,
        actor_id=case.actor.actor_id,
        purpose=case.ask.intent.purpose,
        labels=case.ask.intent.labels,
        state=TaskState.LIVE,
        start_time=case.time,
        end_time=plan.task_end_time,
    )


def _grant(
    case: Case, plan: Plan, task: Task, grant_id: GrantId, *, held: Held | None = None, asks: bool = False
) -> Grant:
    """Returns the grant as it stands before STS, or anybody else, is asked."""
    subject, revision = known(case.delegation).subject, known(case.question).revision.digest
    return Grant(
        grant_id=grant_id,
        task_id=task.task_id,
        subject_issuer=subject.issuer,
        subject_id=subject.subject,
        actor_id=case.actor.actor_id,
        state=GrantState.PENDING_APPROVAL if asks else GrantState.AUTHORIZED,
        role_arn=plan.role.arn,
        region=plan.role.region,
        session_policy=plan.session_policy,
        session_policy_digest=plan.session_policy_digest,
        entitlements=plan.entitlements,
        policy_revision=revision,
        ceiling_digest=plan.ceiling_digest,
        source_identity=source_identity(subject),
        tags=session_tags(subject, case.actor, task_id=task.task_id, grant_id=grant_id, revision=revision),
        issue_time=case.time,
        expire_time=plan.expire_time,
        unguarded=plan.unguarded,
        outlives_task=plan.outlives_task,
        intent=case.ask.intent,
        requested_duration=case.ask.requested_duration,
        narrow=case.ask.narrow,
        offline_renewal=plan.offline_renewal,
        break_glass=plan.break_glass and held is None,
        approval_id=held.approval_id if held else None,
        parent_grant_id=GrantId(plan.above.grant_id) if plan.above else None,
        parent_task_id=TaskId(plan.above.task_id) if plan.above else None,
    )


def _authorized_record(basis: Basis, who: Who, key: RequestKey, plan: Plan, grant: Grant) -> GrantAuthorized:
    """Returns the record without which no credentials exist."""
    return GrantAuthorized(
        who=who,
        request_id=key.request_id,
        task_id=grant.task_id,
        grant_id=grant.grant_id,
        role_arn=grant.role_arn,
        entitlements=grant.entitlements,
        session_policy=grant.session_policy,
        session_policy_digest=grant.session_policy_digest,
        covers=plan.covers,
        unguarded=grant.unguarded,
        ceiling_digest=grant.ceiling_digest,
        input_digest=basis.question.digest,
        policy_revision=grant.policy_revision,
        source_identity=grant.source_identity,
        tags=grant.tags,
        expire_time=grant.expire_time,
        outlives_task=grant.outlives_task,
        approval_id=grant.approval_id or "",
        break_glass=grant.break_glass,
        circumstances_digest=basis.circumstances.digest,
        decision_digest=basis.decision_digest,
        parent_grant_id=grant.parent_grant_id or "",
    )


def order_of(grant: Grant, until: datetime, ceilings: Ceilings, now: datetime) -> SessionOrder:
    """Returns the one STS call of a grant: AWS's shortest duration that covers it; the time guard does the rest."""
    role = ceilings.role(grant.role_arn)
    left = int((until - now) / timedelta(seconds=1)) + 1
    longest = int(role.max_session.total_seconds())
    return SessionOrder(
        role=role,
        session_name=grant.task_id,
        session_policy=grant.session_policy,
        duration_seconds=min(max(left, MIN_STS_SECONDS), longest),
        source_identity=grant.source_identity,
        tags=grant.tags,
    )


def supposed_order(case: Case, plan: Plan, ceilings: Ceilings, *, task_id: TaskId, grant_id: GrantId) -> SessionOrder:
    """Returns the STS call that issuing this plan would come to, with these in the place of ids that are random."""
    grant = _grant(case, plan, _new_task(case, plan, task_id), grant_id)
    return order_of(grant, grant.policy_end, ceilings, case.time)


def issuance_of(grant: Grant, until: datetime, session: StsSession, now: datetime) -> Issuance:
    """Returns what is kept of STS's answer."""
    return Issuance(
        access_key_id=session.credentials.access_key_id,
        session_policy_digest=hashlib.sha256(grant.session_policy.encode()).hexdigest(),
        policy_revision=grant.policy_revision,
        issue_time=now,
        expire_time=min(until, session.credentials.expire_time),
        packed_policy_percent=session.packed_policy_percent,
    )
