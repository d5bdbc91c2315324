"""Messages of the security side to values of the domain, and back."""

from typing import assert_never

from remit.v1 import audit_service_pb2 as audit_messages
from remit.v1 import grant_service_pb2 as messages
from remit.v1 import types_pb2
from remit_server.application.oversight.paging import Page
from remit_server.application.oversight.revoke import RevokeRequest
from remit_server.domain.audit import ChainBroken, ChainedEvent, ChainIntact
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.grant import Grant
from remit_server.domain.operator import Operator
from remit_server.domain.revocation import Block, Revoked, Target, TargetKind
from remit_server.transport.grpc.mapping import grant_message


def grant_name(name: str) -> tuple[str, str]:
    """Returns task and grant of `tasks/{task}/grants/{grant}`, whose form the proto's rules have checked."""
    _, task_id, _, grant_id = name.split("/")
    return task_id, grant_id


def revoke_request(message: messages.RevokeGrantsRequest, operator: Operator) -> RevokeRequest:
    """Returns what an operator wants ended; raises InvalidRequest."""
    target, task_id = _target(message.target)
    if not message.why.strip():
        raise InvalidRequest([FieldViolation("why", "must say why, for the record")])
    return RevokeRequest(operator, target, task_id, message.block, message.why.strip())


def _target(message: messages.RevokeTarget) -> tuple[Target, str]:
    """Returns what is aimed at, and the task that a grant is said to be of."""
    match message.WhichOneof("target"):
        case "grant":
            task_id, grant_id = grant_name(message.grant)
            return Target(TargetKind.GRANT, grant_id), task_id
        case "task_id":
            return Target(TargetKind.TASK, message.task_id), ""
        case "subject":
            if not message.subject.issuer or not message.subject.id:
                raise InvalidRequest([FieldViolation("target.subject", "must have issuer and id")])
            return Target(TargetKind.SUBJECT, message.subject.id, message.subject.issuer), ""
        case "actor":
            return Target(TargetKind.ACTOR, message.actor), ""
        case "policy_revision":
            return Target(TargetKind.REVISION, message.policy_revision), ""
        case _:
            raise InvalidRequest([FieldViolation("target", "must name exactly one")])


def _target_message(target: Target) -> messages.RevokeTarget:
    """Writes what a block is of."""
    match target.kind:
        case TargetKind.GRANT:
            return messages.RevokeTarget(grant=target.key)
        case TargetKind.TASK:
            return messages.RevokeTarget(task_id=target.key)
        case TargetKind.SUBJECT:
            return messages.RevokeTarget(subject=types_pb2.Subject(issuer=target.issuer, id=target.key))
        case TargetKind.ACTOR:
            return messages.RevokeTarget(actor=target.key)
        case TargetKind.REVISION:
            return messages.RevokeTarget(policy_revision=target.key)
        case _:
            assert_never(target.kind)


def list_response(page: Page[Grant]) -> messages.ListGrantsResponse:
    """Writes a page of grants."""
    return messages.ListGrantsResponse(
        grants=[grant_message(grant) for grant in page.items], next_page_token=page.next_token
    )


def revoke_response(revoked: Revoked) -> messages.RevokeGrantsResponse:
    """Writes what a revoke did."""
    message = messages.RevokeGrantsResponse(
        revocation_id=revoked.revocation_id,
        grant_count=revoked.grant_count,
        grants=revoked.grants,
        denying=revoked.denying,
    )
    message.revoke_time.FromDatetime(revoked.revoke_time)
    if revoked.credentials_until is not None:
        message.credentials_until.FromDatetime(revoked.credentials_until)
    return message


def blocks_response(page: Page[Block]) -> messages.ListBlocksResponse:
    """Writes a page of blocks."""
    answer = messages.ListBlocksResponse(next_page_token=page.next_token)
    for block in page.items:
        written = answer.blocks.add(
            name=f"blocks/{block.block_id}", target=_target_message(block.target), why=block.why, by=block.by
        )
        written.create_time.FromDatetime(block.create_time)
    return answer


def event_message(event: ChainedEvent) -> audit_messages.AuditEvent:
    """Writes an event as the chain holds it."""
    message = audit_messages.AuditEvent(
        sequence=event.sequence,
        kind=event.kind,
        body=event.body_text,
        previous_hash=event.previous_hash,
        event_hash=event.event_hash,
    )
    message.time.FromDatetime(event.time)
    return message


def verify_response(verdict: ChainIntact | ChainBroken) -> audit_messages.VerifyChainResponse:
    """Writes what a verification found."""
    match verdict:
        case ChainIntact(count=count, head=head):
            return audit_messages.VerifyChainResponse(intact=True, count=count, head=head)
        case ChainBroken():
            return audit_messages.VerifyChainResponse(broken_sequence=verdict.sequence, what=verdict.what)
        case _:
            assert_never(verdict)
