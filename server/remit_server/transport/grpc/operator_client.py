"""How the commands of people and CI call a gateway: over TLS, a fresh token for each call, failures told in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from remit.calling.unreachable import Way, unreachable
from remit.v1.approval_service_pb2_grpc import ApprovalServiceStub
from remit.v1.audit_service_pb2_grpc import AuditServiceStub
from remit.v1.grant_service_pb2_grpc import GrantServiceStub
from remit.v1.policy_service_pb2 import PolicyFinding, PolicyFindings
from remit.v1.policy_service_pb2_grpc import PolicyServiceStub
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.own_files import OwnCertificate, channel_credentials, way_of
from remit_server.transport.grpc.status import DETAILS_KEY, DOMAIN

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
D = TypeVar("D", bound=Message)
TIMEOUT: Final = timedelta(seconds=30)
# How the end of a connection or of a stream's time is told, by the gateway or by gRPC itself.
_ENDINGS: Final = frozenset({"STREAM_ENDED", "UNAVAILABLE", "INTERNAL", "UNKNOWN", "CANCELLED"})
MAX_ANSWER: Final = 32 * 1024 * 1024  # a page of 500 grants with their policies
_OPTIONS: Final = (
    ("grpc.max_metadata_size", 24 * 1024),
    ("grpc.absolute_max_metadata_size", 24 * 1024),
    ("grpc.max_receive_message_length", MAX_ANSWER),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.keepalive_time_ms", 60_000),
)

if TYPE_CHECKING:
    # gRPC's own classes take no type parameters when the program runs.
    Unary = grpc.UnaryUnaryMultiCallable[Q, R]
    Streaming = grpc.UnaryStreamMultiCallable[Q, R]
    Uploading = grpc.StreamUnaryMultiCallable[Q, R]


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the gateway is and who calls: by a bearer token, read anew for each call, or by a certificate and its key.

    Without `ca_file` the roots that come with gRPC are trusted.
    """

    target: str
    ca_file: Path | None = None
    token: Callable[[], Secret] | None = field(default=None, repr=False)
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def pair(self) -> OwnCertificate | None:
        """The certificate, where the caller shows one."""
        if self.certificate_file is None or self.key_file is None:
            return None
        return OwnCertificate(self.certificate_file, self.key_file)

    @property
    def way(self) -> Way:
        """How the gateway is called, for who is told that nobody answered."""
        return way_of(self.target, self.ca_file, self.pair)


class CallFailed(Exception):  # noqa: N818 - named for what it says
    """A call had no answer, or a no: the reason, a sentence, and what to do.

    `is_no` says that the gateway answered no; otherwise it could not be asked, or could not say. `is_over` says that
    only the connection ended, as long streams' do: asking again may go on where it was. `findings` are what forbids a
    bundle to decide, as many as the gateway could tell.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        remedy: str,
        *,
        is_no: bool,
        retry_after: timedelta | None = None,
        findings: Sequence[PolicyFinding] = (),
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.remedy = remedy
        self.is_no = is_no
        self.retry_after = retry_after
        self.findings = tuple(findings)

    @property
    def is_over(self) -> bool:
        """Says whether the connection ended, rather than anybody saying no."""
        return not self.is_no and self.reason in _ENDINGS


class OperatorClient:
    """Calls the services of the security side; close it, or use it as a context.

    Raises ValueError for a file that cannot be read or is not what it must be.
    """

    def __init__(self, connection: Connection, timeout: timedelta = TIMEOUT) -> None:
        self._connection = connection
        self._timeout = timeout.total_seconds()
        self._channel = grpc.secure_channel(
            connection.target, channel_credentials(connection.ca_file, connection.pair), options=_OPTIONS
        )
        self.grants = GrantServiceStub(self._channel)
        self.audit = AuditServiceStub(self._channel)
        self.approvals = ApprovalServiceStub(self._channel)
        self.policies = PolicyServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def call(self, method: "Unary[Q, R]", request: Q, timeout: timedelta | None = None) -> R:
        """Returns the answer; raises CallFailed."""
        seconds = self._timeout if timeout is None else timeout.total_seconds()
        try:
            return method(request, timeout=seconds, metadata=self._metadata())
        except grpc.RpcError as error:
            raise failure_of(error, self._connection.way) from None

    def upload(self, method: "Uploading[Q, R]", requests: Iterator[Q], timeout: timedelta) -> R:
        """Sends one message after the other and returns the answer; raises CallFailed."""
        try:
            return method(requests, timeout=timeout.total_seconds(), metadata=self._metadata())
        except grpc.RpcError as error:
            raise failure_of(error, self._connection.way) from None

    def stream(self, method: "Streaming[Q, R]", request: Q) -> Iterator[R]:
        """Yields what the gateway sends, for as long as it does; raises CallFailed when that ends in a failure."""
        call = method(request, metadata=self._metadata())
        try:
            yield from call
        except grpc.RpcError as error:
            raise failure_of(error, self._connection.way) from None
        finally:
            call.cancel()

    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Returns the bearer token as it is now."""
        if self._connection.token is None:
            return ()
        return (("authorization", f"Bearer {self._connection.token().reveal()}"),)


_NO: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_REMEDIES: Final = {
    "ACTOR_REJECTED": "sign in again and give a token that was issued for the gateway's operators (docs/operators.md)",
    "NOT_AUTHORIZED": "ask who keeps the policies for the right (data.remit.admin), or use another identity",
    "INVALID_REQUEST": "correct what is named and call again",
    "NOT_FOUND": "check the name; what is not yours to see is not found either",
    "REVISION_REFUSED": "mend what is named, then publish it and activate that; what was active still decides",
    "REVISION_CHANGED": "see what is active now (`policy list`), then decide anew",
    "REAUTHENTICATE": "sign in again, so that your token is a fresh one",
    "RETRY_LATER": "try again in a moment",
    "UNIMPLEMENTED": "update the gateway, which is older than this command, or correct --gateway",
    "DEADLINE_EXCEEDED": "try again; if it stays so, see the gateway's log",
}


def failure_of(error: grpc.RpcError, way: Way) -> CallFailed:
    """Returns what a failed call means: the gateway's own words where it said some."""
    call: Any = error
    code: grpc.StatusCode = call.code()
    status = _status(call.trailing_metadata())
    info = _detail(status, ErrorInfo())
    if info.domain != DOMAIN:
        return _unanswered(code, call.details(), way)
    told = info.metadata.get("remedy", "")
    remedy = _REMEDIES.get(told if told == "REAUTHENTICATE" else info.reason) or _REMEDIES.get(told, "")
    findings = _detail(status, PolicyFindings()).findings
    if info.reason == "REVISION_REFUSED" and not findings:
        remedy = ""  # the message says it: there is nothing to mend in the bundle
    fields = _detail(status, BadRequest()).field_violations
    told_fields = "; ".join(f"{field.field}: {field.description}" for field in fields)
    retry = _detail(status, RetryInfo())
    after = retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
    return CallFailed(
        info.reason,
        told_fields or status.message,
        remedy,
        is_no=code in _NO,
        retry_after=after,
        findings=findings,
    )


def _unanswered(code: grpc.StatusCode, details: str | None, way: Way) -> CallFailed:
    """Returns what a call means that no gateway of ours answered."""
    if code is grpc.StatusCode.UNAVAILABLE:
        lost = unreachable(details, way)
        return CallFailed(
            code.name, f"the gateway at {way.target} cannot be reached: {lost.why}", lost.todo, is_no=False
        )
    timed_out = code is grpc.StatusCode.DEADLINE_EXCEEDED
    message = f"the gateway at {way.target} did not answer in time" if timed_out else str(details)
    return CallFailed(code.name, message, _REMEDIES.get(code.name, ""), is_no=code in _NO)


def _status(metadata: Any) -> Status:
    """Returns the rich status that a failed call carries; an empty one when it carries none that can be read."""
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()


def _detail(status: Status, kind: D) -> D:
    """Returns the first detail of this kind; an empty one when there is none that can be read."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            try:
                kind.MergeFromString(packed.value)
            except DecodeError:
                kind.Clear()
            break
    return kind
