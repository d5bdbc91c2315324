"""ApprovalService: message to domain, call, domain to message. Decides nothing."""

import base64
import binascii
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import grpc

from remit.v1 import approval_service_pb2 as messages
from remit.v1.approval_service_pb2_grpc import ApprovalServiceServicer, add_ApprovalServiceServicer_to_server
from remit_server.application.approvals.decide_approval import METHOD, DecideApproval, Decision
from remit_server.application.approvals.ports import Place
from remit_server.application.approvals.show_approvals import ShowApprovals
from remit_server.application.oversight.admitting import AdmittedOperator, OperatorAdmission
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.transport.grpc.approval_mapping import approval_message
from remit_server.transport.grpc.interceptor import admitted_as
from remit_server.transport.grpc.server import Offered

Context = grpc.aio.ServicerContext[Any, Any]
DESCRIPTOR: Any = messages.DESCRIPTOR.services_by_name["ApprovalService"]
STREAMS: Final = frozenset({"WatchApprovals"})
PAGE: Final = 50
_NAME: Final = "approvals/"


@dataclass(frozen=True)
class ApprovalService(ApprovalServiceServicer):
    """What approvers call. `interceptor.py` has admitted them and checked the message, and answers every failure."""

    admit: OperatorAdmission
    show: ShowApprovals
    decide: DecideApproval

    @property
    def offered(self) -> Offered:
        """The service as a server takes it."""
        add: Any = add_ApprovalServiceServicer_to_server
        return Offered(DESCRIPTOR, add, self, self.admit)

    async def ListApprovals(  # noqa: N802 - the name in the proto
        self, request: messages.ListApprovalsRequest, context: Context
    ) -> messages.ListApprovalsResponse:
        """Lists approvals, newest first."""
        del context
        by = admitted_as(AdmittedOperator)
        async with self.admit.reading(by, "ListApprovals"):
            after = _place(request.page_token)
        page = await self.show.listed(
            by.operator, waiting=not request.all_states, after=after, at_most=request.page_size or PAGE
        )
        return messages.ListApprovalsResponse(
            approvals=[approval_message(approval) for approval in page.approvals], next_page_token=_token(page.after)
        )

    async def GetApproval(  # noqa: N802 - the name in the proto
        self, request: messages.GetApprovalRequest, context: Context
    ) -> messages.GetApprovalResponse:
        """Returns one approval."""
        del context
        approval = await self.show.one(admitted_as(AdmittedOperator).operator, request.name.removeprefix(_NAME))
        return messages.GetApprovalResponse(approval=approval_message(approval))

    async def DecideApproval(  # noqa: N802 - the name in the proto
        self, request: messages.DecideApprovalRequest, context: Context
    ) -> messages.DecideApprovalResponse:
        """Takes a yes or a no."""
        del context
        by = admitted_as(AdmittedOperator)
        async with self.admit.reading(by, METHOD):
            decision = _decision(request)
        return messages.DecideApprovalResponse(approval=approval_message(await self.decide(by.operator, decision)))

    async def WatchApprovals(  # noqa: N802 - the name in the proto
        self, request: messages.WatchApprovalsRequest, context: Context
    ) -> AsyncGenerator[messages.WatchApprovalsResponse]:
        """Streams approvals as they are asked for and decided."""
        del request, context
        async with aclosing(self.show.watched(admitted_as(AdmittedOperator).operator)) as watched:
            async for approval in watched:
                yield messages.WatchApprovalsResponse(approval=approval_message(approval))


def _decision(message: messages.DecideApprovalRequest) -> Decision:
    """Reads a decision; raises InvalidRequest for a comment that is not one line."""
    if not message.comment.isprintable():
        raise InvalidRequest([FieldViolation("comment", "must not hold control characters")])
    return Decision(message.name.removeprefix(_NAME), message.digest, message.approve, message.comment)


def _token(place: Place | None) -> str:
    """Returns where a list goes on, as an opaque token."""
    if place is None:
        return ""
    text = f"{place.create_time.isoformat()} {place.approval_id}"
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def _place(token: str) -> Place | None:
    """Returns where a list goes on; raises InvalidRequest for what is no page token."""
    if not token:
        return None
    try:
        time, _, approval_id = base64.urlsafe_b64decode(token.encode()).decode("ascii").partition(" ")
        return Place(datetime.fromisoformat(time).astimezone(UTC), approval_id)
    except (ValueError, binascii.Error, OverflowError):
        raise InvalidRequest([FieldViolation("page_token", "is not one of this list: begin without one")]) from None
