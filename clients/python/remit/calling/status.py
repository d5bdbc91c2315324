"""gRPC statuses to the client's exceptions; what a newer gateway may add is passed over, never tripped over."""

import re
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from remit.calling.mapping import failures, permissions, remedy
from remit.calling.unreachable import Unreachable, Way, unreachable
from remit.errors import (
    FieldViolation,
    GatewayFailure,
    InvalidRequest,
    NotFound,
    RateLimited,
    Refused,
    Remedy,
    RemitError,
    TaskOver,
    Unauthenticated,
    Unavailable,
)
from remit.v1 import types_pb2

M = TypeVar("M", bound=Message)
DOMAIN = "remit.dev"
DETAILS_KEY = "grpc-status-details-bin"

_KINDS: dict[grpc.StatusCode, type[RemitError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: RateLimited,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
}
_OVER = "GRANT_NOT_LIVE"
_REQUEST_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def failure_of(call: grpc.Call, *, way: Way, request_id: str | None) -> RemitError:
    """Returns the exception for a call that failed; it holds what the gateway said, and the request's id.

    NOTE: of the request it holds nothing else, and no id that is none: a token may have been given in its place.
    """
    status = _status(call)
    info = _info(status)
    refusal = _detail(status, types_pb2.Refusal())
    code = call.code()
    kind = TaskOver if info.reason == _OVER else _KINDS.get(code, GatewayFailure)
    is_lost = not info.reason and code is grpc.StatusCode.UNAVAILABLE
    lost = unreachable(call.details(), way) if is_lost else None
    told: dict[str, Any] = {
        "reason": info.reason or code.name,
        "remedy": remedy(refusal.remedy) if refusal.remedy else _remedy_in(info),
        "request_id": request_id if request_id and _REQUEST_ID.fullmatch(request_id) else None,
    }
    if lost is not None:
        told["todo"] = lost.todo
    return kind(_sentence(call, status, info, way, lost), **told, **_particulars(kind, status, refusal))


def _particulars(kind: type[RemitError], status: Status, refusal: types_pb2.Refusal) -> dict[str, Any]:
    """Returns what only this kind of failure has."""
    if issubclass(kind, Refused):
        return {
            "failures": failures(refusal.failures),
            "offer": permissions(refusal.offer),
            "split": tuple(permissions(part.permissions) for part in refusal.split),
        }
    if issubclass(kind, InvalidRequest):
        fields = _detail(status, BadRequest()).field_violations
        return {"violations": tuple(FieldViolation(item.field, item.description) for item in fields)}
    if issubclass(kind, Unavailable):
        return {"retry_after": _retry_after(status)}
    return {}


def _sentence(call: grpc.Call, status: Status, info: ErrorInfo, way: Way, lost: Unreachable | None) -> str:
    """Returns the gateway's own sentence; where it could not say one, what happened on the way to it."""
    if info.reason:
        return status.message or call.details() or "the gateway gave no reason"
    if lost is not None:
        return f"the gateway at {way.target} cannot be reached: {lost.why}"
    if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"the gateway at {way.target} did not answer in time"
    return call.details() or f"the gateway at {way.target} gave no reason"


def _status(call: grpc.Call) -> Status:
    """Returns the rich status that a failed call carries; an empty one when it carries none that can be read."""
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()


def _info(status: Status) -> ErrorInfo:
    """Returns the gateway's ErrorInfo; an empty one when there is none, or only some proxy's."""
    info = _detail(status, ErrorInfo())
    return info if info.domain == DOMAIN else ErrorInfo()


def _detail(status: Status, kind: M) -> M:
    """Returns the first detail of this kind; an empty one when there is none that can be read."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            try:
                kind.MergeFromString(packed.value)
            except DecodeError:
                kind.Clear()
            break
    return kind


def _remedy_in(info: ErrorInfo) -> Remedy:
    """Returns the remedy that ErrorInfo names."""
    return Remedy.__members__.get(info.metadata.get("remedy", ""), Remedy.UNKNOWN)


def _retry_after(status: Status) -> timedelta | None:
    """Returns how long the gateway asks to wait; None when it does not say."""
    info = _detail(status, RetryInfo())
    if not info.HasField("retry_delay"):
        return None
    try:
        delay: timedelta = info.retry_delay.ToTimedelta()
    except (ValueError, OverflowError):
        return None
    return max(delay, timedelta(0))
