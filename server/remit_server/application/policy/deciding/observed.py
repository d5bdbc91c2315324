"""What a live call decided, in the form in which records tell it afterwards."""

from typing import Final

from remit_server.application.issuing.hearing import Case
from remit_server.application.planning.plan_session import Plan
from remit_server.application.policy.ports import Outcome, RecordedDecision
from remit_server.domain.audit import GrantAuthorized, RequestRefused
from remit_server.domain.errors import Reason, told_of
from remit_server.domain.lifecycle_records import ApprovalAsked, RenewalAuthorized

# What is no decision of policy's or of planning's: the gateway, or what it needs, did not work.
NO_DECISIONS: Final = frozenset(
    {
        Reason.OVERLOADED.value,
        Reason.LEDGER_UNAVAILABLE.value,
        Reason.STS_UNAVAILABLE.value,
        Reason.ISSUER_UNAVAILABLE.value,
        Reason.INTERNAL.value,
    }
)


def decided_of(case: Case, outcome: Plan | Exception) -> RecordedDecision | None:
    """Returns the decision of a case, with what came of it; None where policy was not asked or something was away."""
    basis, question = case.basis, case.question
    if basis is None or question is None:
        return None
    kind, answered = _answered(case, outcome)
    if answered.reason in NO_DECISIONS:
        return None
    who = case.who
    return RecordedDecision(
        sequence=0,
        time=case.time,
        kind=kind,
        subject_issuer=who.subject_issuer,
        subject_id=who.subject_id,
        actor_id=who.actor_id,
        policy_revision=question.revision.digest,
        ceiling_digest="",
        question=basis.question,
        circumstances=basis.circumstances,
        decision=basis.decision,
        outcome=answered,
        task_id=case.task.task_id if case.task else "",
        input_digest=basis.question.digest,
    )


def _answered(case: Case, outcome: Plan | Exception) -> tuple[str, Outcome]:
    """Returns which record tells of it, and what was answered."""
    if isinstance(outcome, Exception):
        told = told_of(outcome)
        return RequestRefused.kind, Outcome(reason=told.reason.value, message=told.message)
    waits = outcome.approval is not None and case.approval_end is None
    policy = outcome.endless_policy if waits else outcome.session_policy
    kind = RenewalAuthorized.kind if case.renews else ApprovalAsked.kind if waits else GrantAuthorized.kind
    return kind, Outcome(outcome.role.arn, outcome.entitlements, policy, waits=waits)
