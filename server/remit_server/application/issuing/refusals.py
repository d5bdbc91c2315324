"""How a no is recorded: with everything that was known by then, and never a token or a key."""

from remit_server.application.issuing.hearing import Case
from remit_server.domain.audit import RequestRefused
from remit_server.domain.errors import Denied, told_of


def refusal_record(
    error: Exception, case: Case, *, request_id: str, method: str, ceiling_digest: str
) -> RequestRefused:
    """Returns the audit record of a refusal, an outage, or a failure that nobody thought of."""
    told = told_of(error)
    refusal = error.refusal if isinstance(error, Denied) else None
    question, basis = case.question, case.basis
    return RequestRefused(
        who=case.who,
        request_id=request_id,
        method=method,
        reason=told.reason.value,
        message=told.message,
        task_id=case.ask.task_id or "",
        input_digest=question.text.digest if question else "",
        policy_revision=question.revision.digest if question else "",
        ceiling_digest=ceiling_digest if question else "",
        failures=tuple((item.action, item.resource, item.rule) for item in refusal.failures) if refusal else (),
        circumstances_digest=basis.circumstances.digest if basis else "",
        decision_digest=basis.decision_digest if basis else "",
    )
