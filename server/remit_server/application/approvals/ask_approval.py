"""Asks people before credentials are issued, and holds what is then issued to exactly what they said yes to."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from remit_server.application.approvals.asking import asked, digest_of, question
from remit_server.application.approvals.ports import Approvals
from remit_server.application.issuing.grants import authorization_of
from remit_server.application.issuing.hearing import Case, known
from remit_server.application.planning.plan_session import Plan
from remit_server.application.ports import Authorization, Entropy, Held, RequestKey
from remit_server.domain.approval import Approval, ApprovalKind, ApprovalState, changed, closed, lapsed
from remit_server.domain.audit import GrantAuthorized
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.task import TASK_ID_BYTES, GrantId, opaque_id

REMIND_EVERY = timedelta(days=1)  # of a review that nobody has done


@dataclass(frozen=True, slots=True)
class Pending:
    """The grant, without credentials, and the approval that it waits for."""

    grant: Grant
    approval: Approval


@dataclass(frozen=True, slots=True)
class AskApproval:
    """Lets a grant wait for people. `lapse` is how long it waits for them at most."""

    approvals: Approvals
    entropy: Entropy
    lapse: timedelta

    async def __call__(self, case: Case, key: RequestKey, plan: Plan) -> Pending:
        """Records what is asked, with its grant and task, and returns what it waits for."""
        grant_id = GrantId(opaque_id(self.entropy(TASK_ID_BYTES)))
        authorization = authorization_of(case, key, plan, grant_id, self.entropy, asks=True)
        end = authorization.new_task.end_time if authorization.new_task else known(case.task).end_time
        has = await self.approvals.policies_of(case.task.task_id) if case.task else ()
        approval = question(
            case,
            plan,
            authorization.grant,
            approval_id=opaque_id(self.entropy(TASK_ID_BYTES)),
            lapse_time=min(case.time + self.lapse, end),
            has=has,
        )
        record = asked(case, approval, authorization.grant)
        kept = await self.approvals.ask(authorization, approval, record)
        return Pending(replace(authorization.grant, approval_id=kept.approval_id), kept)

    def with_review(self, case: Case, plan: Plan, authorization: Authorization, tried: Grant | None) -> Authorization:
        """Returns an authorization that opens a review where it rests on break-glass: one for all tries of a grant."""
        if not plan.break_glass or authorization.held is not None:
            return authorization
        if tried is not None and tried.approval_id is not None:
            return _naming(tried.approval_id, authorization)
        review = question(
            case,
            plan,
            authorization.grant,
            approval_id=opaque_id(self.entropy(TASK_ID_BYTES)),
            lapse_time=case.time + REMIND_EVERY,
        )
        named = _naming(review.approval_id, authorization)
        records = (*named.records, asked(case, review, named.grant))
        return replace(named, review=review, records=records)

    async def standing(self, grant: Grant | None, now: datetime) -> Approval | None:
        """Returns the approval that a grant without credentials waits for or was approved by; None where there is none.

        Raises Denied(APPROVAL_REFUSED | APPROVAL_LAPSED | APPROVAL_CHANGED) when nothing can come of it any more.
        """
        if grant is not None and grant.state is GrantState.PENDING_APPROVAL and grant.approval_id is None:
            raise AssertionError("a grant waits for no approval")
        if grant is None or grant.approval_id is None:
            return None
        kept = await self.approvals.approval(grant.approval_id)
        if kept is None or kept.kind is ApprovalKind.REVIEW:
            return None
        approval = kept.at(now)
        if grant.state is GrantState.FAILED and approval.state is ApprovalState.USED:
            return _still_valid(approval, now)
        waits = approval.state in {ApprovalState.PENDING, ApprovalState.APPROVED}
        if grant.state is GrantState.PENDING_APPROVAL and waits:
            return approval
        is_anothers = waits or approval.state is ApprovalState.USED
        raise lapsed("its task ended, or another grant was issued under it") if is_anothers else closed(approval)

    async def held(self, approval: Approval | None, case: Case, plan: Plan) -> Held | None:
        """Returns what an authorization rests on; None where nobody need be asked and nobody was.

        Raises Denied(APPROVAL_CHANGED), and voids the approval, when this is not what people said yes to, and when they
        have to be asked for a grant that was tried without.
        """
        if approval is None:
            if plan.approval is not None:
                raise changed()
            return None
        digest = digest_of(case, plan, approval.task_id)
        if digest == approval.digest and _is_enough(approval, plan):
            return Held(approval.approval_id, digest)
        why = "what would be issued is no longer what people said yes to"
        await self.approvals.void(approval.approval_id, why, case.presented)
        raise changed()

    async def of_live(self, grant: Grant, now: datetime) -> Approval | None:
        """Returns the approval that a live grant rests on, whose end bounds what a renewal gives; None without one.

        Raises Denied(APPROVAL_LAPSED) when its time is over.
        """
        kept = None if grant.approval_id is None else await self.approvals.approval(grant.approval_id)
        if kept is None or kept.kind is ApprovalKind.REVIEW:
            return None
        if kept.state is not ApprovalState.USED:
            raise closed(kept)
        return _still_valid(kept, now)

    def check_renewal(self, grant: Grant, approval: Approval | None, case: Case, plan: Plan) -> None:
        """Raises Denied(APPROVAL_CHANGED) when a renewal is not what people said yes to, or skips asking them anew."""
        if approval is None:
            if plan.approval is not None or (plan.break_glass and not grant.break_glass):
                raise changed()
        elif digest_of(case, plan, grant.task_id) != approval.digest or not _is_enough(approval, plan):
            raise changed()


def _naming(approval_id: str, authorization: Authorization) -> Authorization:
    """Returns an authorization whose grant and record name their review."""
    grant = replace(authorization.grant, approval_id=approval_id)
    records = [
        replace(record, approval_id=approval_id) if isinstance(record, GrantAuthorized) else record
        for record in authorization.records
    ]
    return replace(authorization, grant=grant, records=records)


def _still_valid(approval: Approval, now: datetime) -> Approval:
    """Returns an approval that a grant was issued under; raises Denied when its time is over."""
    if approval.valid_until is None or now >= approval.valid_until:
        raise lapsed("its time is over")
    return approval


def _is_enough(approval: Approval, plan: Plan) -> bool:
    """Says whether what people said is enough for what the active policy asks for, which may be more than it was."""
    if plan.approval is None:
        return True
    end = known(approval.decide_time) + plan.approval.valid
    return approval.satisfies(plan.approval) and plan.expire_time <= end
