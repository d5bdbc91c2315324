"""Approvals at the gateway, as the user who confirms sees and decides them, with a token of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from remit.calling.channel import Tls
from remit.calling.status import failure_of
from remit.secret import Secret
from remit.v1 import approval_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.approval_service_pb2_grpc import ApprovalServiceStub

SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class ShownApproval:
    """What a person decides about: whose and which agent's task, the exact session policy, and for how long."""

    name: str
    digest: str
    is_pending: bool
    state: str
    subject: str
    actor: str
    purpose: str
    role_arn: str
    session_policy: str
    seconds: int
    lapse_time: datetime | None


@dataclass(frozen=True, slots=True)
class Approvals:
    """The gateway's ApprovalService at its listener for bearer tokens."""

    target: str
    ca_file: Path | None

    def shown(self, name: str, token: Secret[str]) -> ShownApproval:
        """Returns an approval; raises RemitError, NotFound for whom it is not to see."""
        request = messages.GetApprovalRequest(name=name)
        answer: messages.GetApprovalResponse = self._call(lambda stub: stub.GetApproval, request, token)
        return _shown(answer.approval)

    def decide(self, shown: ShownApproval, token: Secret[str], *, approve: bool) -> ShownApproval:
        """Says yes or no about exactly what was shown; raises RemitError."""
        request = messages.DecideApprovalRequest(
            name=shown.name, digest=shown.digest, approve=approve, comment="confirmed in person"
        )
        answer: messages.DecideApprovalResponse = self._call(lambda stub: stub.DecideApproval, request, token)
        return _shown(answer.approval)

    def _call(self, method: Callable[[ApprovalServiceStub], Any], request: Message, token: Secret[str]) -> Any:
        """Calls once, on a connection of its own: people decide seldom."""
        options, tls = (("grpc.service_config_disable_resolution", 1),), Tls(ca_file=self.ca_file)
        with grpc.secure_channel(self.target, tls.credentials(), options=options) as channel:
            metadata = (("authorization", f"Bearer {token.reveal()}"),)
            call = method(ApprovalServiceStub(channel)).future(request, timeout=SECONDS, metadata=metadata)
            if call.code() is not grpc.StatusCode.OK:
                raise failure_of(call, way=tls.way(self.target), request_id=None)
            return call.result()


def _shown(message: types_pb2.Approval) -> ShownApproval:
    state = types_pb2.ApprovalState.Name(message.state).removeprefix("APPROVAL_STATE_")
    return ShownApproval(
        name=message.name,
        digest=message.digest,
        is_pending=message.state == types_pb2.APPROVAL_STATE_PENDING,
        state=state,
        subject=message.subject.id,
        actor=message.actor,
        purpose=message.purpose,
        role_arn=message.role_arn,
        session_policy=message.session_policy,
        seconds=message.duration_seconds,
        lapse_time=message.lapse_time.ToDatetime(tzinfo=UTC) if message.HasField("lapse_time") else None,
    )
