"""Approvals as the API writes them."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from remit.v1 import types_pb2
from remit_server.domain.approval import Approval, ApprovalKind, ApprovalState, Vote
from remit_server.transport.grpc.status import permission_message

APPROVAL_STATES = {
    ApprovalState.PENDING: types_pb2.APPROVAL_STATE_PENDING,
    ApprovalState.APPROVED: types_pb2.APPROVAL_STATE_APPROVED,
    ApprovalState.REFUSED: types_pb2.APPROVAL_STATE_REFUSED,
    ApprovalState.LAPSED: types_pb2.APPROVAL_STATE_LAPSED,
    ApprovalState.VOID: types_pb2.APPROVAL_STATE_VOID,
    ApprovalState.USED: types_pb2.APPROVAL_STATE_USED,
}
_KINDS = {
    ApprovalKind.BEFORE: types_pb2.APPROVAL_KIND_BEFORE,
    ApprovalKind.REVIEW: types_pb2.APPROVAL_KIND_REVIEW,
}


def approval_message(approval: Approval) -> types_pb2.Approval:
    """Writes an approval: all that is decided about, and what people said so far."""
    need = approval.need
    message = types_pb2.Approval(
        name=approval.name,
        kind=_KINDS[approval.kind],
        state=APPROVAL_STATES[approval.state],
        digest=approval.digest,
        task_id=approval.task_id,
        subject=types_pb2.Subject(issuer=approval.subject_issuer, id=approval.subject_id),
        actor=approval.actor_id,
        purpose=approval.purpose,
        session_policy=approval.session_policy,
        role_arn=approval.role_arn,
        entitlements=approval.entitlements,
        adds=[permission_message(permission) for permission in approval.adds],
        duration_seconds=int(approval.duration.total_seconds()),
        groups=need.groups,
        by_subject=need.by_subject,
        min_approvers=need.min_approvers,
        votes=[_vote_message(vote) for vote in approval.votes],
        policy_revision=approval.policy_revision,
        requirements=[
            types_pb2.ApprovalRequirement(groups=one.groups, min_approvers=one.min_approvers)
            for one in need.requirements
        ],
    )
    _write(message.create_time, approval.create_time)
    if approval.kind is ApprovalKind.BEFORE:
        message.valid_seconds = int(need.valid.total_seconds())
        _write(message.lapse_time, approval.lapse_time)
    if approval.decide_time is not None:
        _write(message.decide_time, approval.decide_time)
    if approval.valid_until is not None:
        _write(message.valid_until, approval.valid_until)
    return message


def _vote_message(vote: Vote) -> types_pb2.ApprovalVote:
    message = types_pb2.ApprovalVote(
        approver=types_pb2.Subject(issuer=vote.approver_issuer, id=vote.approver_id),
        approved=vote.approved,
        comment=vote.comment,
    )
    _write(message.time, vote.time)
    return message


def _write(message: Timestamp, time: datetime) -> None:
    message.FromDatetime(time)
