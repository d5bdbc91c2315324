"""The one mapping from the house's errors to gRPC statuses (AIP-193): code, ErrorInfo, details that agents act on."""

from typing import assert_never

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from remit.v1 import policy_service_pb2, types_pb2
from remit_server.domain.errors import Denied, InvalidRequest, Outage, Reason, Refusal, Remedy, RemitError
from remit_server.domain.permission import Permission
from remit_server.domain.policy_revision import BundleDenied, PolicyFinding

DOMAIN = "remit.dev"
DETAILS_KEY = "grpc-status-details-bin"
# NOTE: gRPC peers refuse trailing metadata over 8 KiB by default, and the caller then sees no reason at all. A message
# stands in it twice: in the details, and percent-encoded, up to three times as long, in `grpc-message`.
MOST_DETAIL_BYTES = 7168
MOST_MESSAGE_BYTES = 768
MOST_VIOLATIONS = 16
MOST_RULE_CHARACTERS = 320  # where there are few; half of it where there are more
FEW_VIOLATIONS = 4
MOST_BYTES_OF_FINDINGS = 3072
MOST_FINDING_CHARACTERS = 320  # of each of its texts

_CODES: dict[Reason, grpc.StatusCode] = {
    Reason.INVALID_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.SUBJECT_TOKEN_REJECTED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.ACTOR_REJECTED: grpc.StatusCode.UNAUTHENTICATED,
    Reason.TOKEN_NOT_BOUND: grpc.StatusCode.PERMISSION_DENIED,
    Reason.TOKEN_REPLAYED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.POLICY_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.CEILING_EXCEEDED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.NEVER_ISSUABLE: grpc.StatusCode.PERMISSION_DENIED,
    Reason.INTENT_TOO_LARGE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.INTENT_SPANS_ROLES: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.GRANT_NOT_LIVE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.DELEGATION_TOO_DEEP: grpc.StatusCode.PERMISSION_DENIED,
    Reason.APPROVAL_REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.APPROVAL_LAPSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.APPROVAL_DECIDED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.APPROVAL_CHANGED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REVISION_REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REVISION_CHANGED: grpc.StatusCode.ABORTED,
    Reason.NOT_AUTHORIZED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.STREAM_ENDED: grpc.StatusCode.UNAVAILABLE,
    Reason.POLICY_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.LEDGER_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.STS_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.ISSUER_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
}


def code_of(reason: Reason) -> grpc.StatusCode:
    """Returns the gRPC code of a reason (3-api.md, Errors)."""
    return _CODES[reason]


def status_of(error: RemitError) -> Status:
    """Returns the whole status of a failure, cut to what every peer takes: the offer goes first, the reason never."""
    message, full = _cut(error.message), refusal_message(error)
    without_offer = types_pb2.Refusal(remedy=full.remedy, failures=full.failures)
    for refusal in (full, without_offer):
        status = _status(error, message, refusal)
        if status.ByteSize() + 3 * len(message.encode()) <= MOST_DETAIL_BYTES:
            return status
    return _status(error, message, types_pb2.Refusal(remedy=full.remedy))


def _cut(message: str) -> str:
    """Returns a sentence, or its beginning when it is too long to be sent."""
    raw = message.encode()
    return message if len(raw) <= MOST_MESSAGE_BYTES else f"{raw[:MOST_MESSAGE_BYTES].decode(errors='ignore')} ..."


def _status(error: RemitError, message: str, refusal: types_pb2.Refusal) -> Status:
    """Puts a status together from its details."""
    info = ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata={"remedy": error.remedy.value})
    details: list[Message] = [info, *_particulars(error)]
    if not isinstance(error, InvalidRequest):
        details.append(refusal)
    code: int = _CODES[error.reason].value[0]
    return Status(code=code, message=message, details=[_packed(detail) for detail in details])


def _particulars(error: RemitError) -> list[Message]:
    """Returns the standard details of a failure's kind."""
    match error:
        case InvalidRequest():
            room = MOST_RULE_CHARACTERS if len(error.violations) <= FEW_VIOLATIONS else MOST_RULE_CHARACTERS // 2
            fields = [
                BadRequest.FieldViolation(field=item.path, description=item.rule[:room])
                for item in error.violations[:MOST_VIOLATIONS]
            ]
            return [BadRequest(field_violations=fields)]
        case BundleDenied(findings=findings):
            return [_findings_message(findings)]
        case Outage(retry_after=delay) if delay is not None:
            info = RetryInfo()
            info.retry_delay.FromTimedelta(delay)
            return [info]
        case _:
            return []


def _findings_message(findings: tuple[PolicyFinding, ...]) -> policy_service_pb2.PolicyFindings:
    """Returns what forbids a bundle to decide, as much of it as there is room for."""
    message = policy_service_pb2.PolicyFindings()
    for finding in findings:
        message.findings.append(finding_message(finding, MOST_FINDING_CHARACTERS))
        if message.ByteSize() > MOST_BYTES_OF_FINDINGS:
            del message.findings[-1]
            break
    return message


def finding_message(finding: PolicyFinding, room: int | None = None) -> policy_service_pb2.PolicyFinding:
    """Returns a finding as the API writes it; `room` cuts its texts."""
    return policy_service_pb2.PolicyFinding(
        path=finding.path[:room],
        line=finding.line,
        problem=finding.problem[:room],
        mend=finding.mend[:room],
        rule=finding.rule[:room],
        refuses=finding.refuses,
    )


def refusal_message(error: RemitError) -> types_pb2.Refusal:
    """Returns the detail made for agents."""
    refusal = error.refusal if isinstance(error, Denied) else Refusal(remedy=error.remedy)
    return types_pb2.Refusal(
        remedy=remedy_value(refusal.remedy),
        failures=[
            types_pb2.FailedPermission(
                action=failure.action, resource=failure.resource, rule=failure.rule, message=failure.message
            )
            for failure in refusal.failures
        ],
        offer=[permission_message(permission) for permission in refusal.offer],
        split=[
            types_pb2.PermissionSet(permissions=[permission_message(permission) for permission in part])
            for part in refusal.split
        ],
    )


def permission_message(permission: Permission) -> types_pb2.Permission:
    """Returns a permission as the API writes it."""
    return types_pb2.Permission(
        actions=[str(action) for action in permission.actions],
        resources=[str(resource) for resource in permission.resources],
        conditions=[
            types_pb2.Condition(operator=condition.operator, key=condition.key, values=condition.values)
            for condition in permission.conditions
        ],
    )


def remedy_value(remedy: Remedy) -> types_pb2.Remedy.ValueType:
    """Returns a remedy as the API writes it."""
    match remedy:
        case Remedy.NARROW:
            return types_pb2.REMEDY_NARROW
        case Remedy.ASK_APPROVAL:
            return types_pb2.REMEDY_ASK_APPROVAL
        case Remedy.REAUTHENTICATE:
            return types_pb2.REMEDY_REAUTHENTICATE
        case Remedy.SPLIT:
            return types_pb2.REMEDY_SPLIT
        case Remedy.RETRY_LATER:
            return types_pb2.REMEDY_RETRY_LATER
        case Remedy.GIVE_UP:
            return types_pb2.REMEDY_GIVE_UP
        case _:
            assert_never(remedy)


def _packed(message: Message) -> AnyMessage:
    """Wraps a detail."""
    packed = AnyMessage()
    packed.Pack(message)
    return packed
