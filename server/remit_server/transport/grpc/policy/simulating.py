"""Suppositions, and what would come of them, as the API writes them."""

from datetime import UTC, datetime
from typing import assert_never

from remit.v1 import policy_service_pb2 as messages
from remit.v1 import types_pb2
from remit_server.application.planning.plan_session import Plan
from remit_server.application.policy.deciding.simulate import Simulated, Supposition
from remit_server.domain.approval import ApprovalNeed
from remit_server.domain.errors import Denied
from remit_server.transport.grpc.mapping import task_intent
from remit_server.transport.grpc.status import refusal_message


def supposition(message: messages.SimulateDecisionRequest, now: datetime) -> Supposition:
    """Reads what is supposed; raises InvalidRequest."""
    duration = message.requested_duration.ToTimedelta() if message.HasField("requested_duration") else None
    return Supposition(
        claims=message.claims,
        agent=message.agent,
        intent=task_intent(message.intent),
        time=message.time.ToDatetime(tzinfo=UTC) if message.HasField("time") else now,
        requested_duration=duration,
        narrow=message.narrow,
        source_ip=message.source_ip,
    )


def simulate_response(simulated: Simulated) -> messages.SimulateDecisionResponse:
    """Writes what would be decided."""
    message = messages.SimulateDecisionResponse(
        revision=simulated.revision,
        input="" if simulated.question is None else simulated.question.text,
        decision="" if simulated.decision is None else simulated.decision.kept.text,
        notes=simulated.notes,
        cloudtrail=simulated.cloudtrail,
    )
    match simulated.outcome:
        case Plan() as plan:
            _write_plan(message, plan)
        case Denied() as denied:
            message.reason, message.message = denied.reason.value, denied.message
            message.refusal.CopyFrom(refusal_message(denied))
        case _:
            assert_never(simulated.outcome)
    return message


def _write_plan(message: messages.SimulateDecisionResponse, plan: Plan) -> None:
    """Writes what would be issued."""
    message.allowed = True
    message.role_arn = plan.role.arn
    message.entitlements.extend(plan.entitlements)
    message.session_policy = plan.session_policy
    message.size.CopyFrom(types_pb2.PolicySize(characters=len(plan.session_policy)))
    message.covers.extend(plan.covers)
    message.unguarded.extend(plan.unguarded)
    message.expire_time.FromDatetime(plan.expire_time)
    message.task_end_time.FromDatetime(plan.task_end_time)
    message.break_glass = plan.break_glass
    message.outlives_task = plan.outlives_task
    message.offline_renewal = plan.offline_renewal
    message.ceiling_digest = plan.ceiling_digest
    for need, field in ((plan.approval, message.approval), (plan.review, message.review)):
        if need is not None:
            field.CopyFrom(_approval(need))


def _approval(need: ApprovalNeed) -> messages.SimulatedApproval:
    message = messages.SimulatedApproval(
        requirements=[
            types_pb2.ApprovalRequirement(groups=one.groups, min_approvers=one.min_approvers)
            for one in need.requirements
        ],
        by_subject=need.by_subject,
    )
    message.valid.FromTimedelta(need.valid)
    return message
