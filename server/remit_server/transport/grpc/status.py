"""The one mapping from the house's errors to gRPC statuses (AIP-193): code, ErrorInfo, details that agents act on."""

from typing import assert_never

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from remit.v1 import types_pb2
from remit_server.domain.errors import Denied, InvalidRequest, Outage, Reason, Refusal, Remedy, RemitError
from remit_server.domain.permission import Permission

DOMAIN = "remit.dev"
DETAILS_KEY = "grpc-status-details-bin"
# gRPC peers refuse trailing metadata over 8 KiB by default; the refusal's offer is left out before the call is lost.
MOST_DETAIL_BYTES = 7168

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
    Reason.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
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
    """Returns the whole status of a failure; never larger than a peer's metadata limit."""
    status = _status(error, refusal_message(error))
    if status.ByteSize() > MOST_DETAIL_BYTES:
        status = _status(error, types_pb2.Refusal(remedy=remedy_value(error.remedy)))
    return status


def _status(error: RemitError, refusal: types_pb2.Refusal) -> Status:
    """Puts a status together from its details."""
    info = ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata={"remedy": error.remedy.value})
    details: list[Message] = [info, *_particulars(error)]
    if not isinstance(error, InvalidRequest):
        details.append(refusal)
    code: int = _CODES[error.reason].value[0]
    return Status(code=code, message=error.message, details=[_packed(detail) for detail in details])


def _particulars(error: RemitError) -> list[Message]:
    """Returns the standard details of a failure's kind."""
    match error:
        case InvalidRequest():
            fields = [BadRequest.FieldViolation(field=item.path, description=item.rule) for item in error.violations]
            return [BadRequest(field_violations=fields)]
        case Outage(retry_after=delay) if delay is not None:
            info = RetryInfo()
            info.retry_delay.FromTimedelta(delay)
            return [info]
        case _:
            return []


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
