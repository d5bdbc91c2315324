"""AuditService: message to domain, call, domain to message. Decides nothing."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc

from remit.v1 import audit_service_pb2 as messages
from remit.v1.audit_service_pb2_grpc import AuditServiceServicer, add_AuditServiceServicer_to_server
from remit_server.application.oversight.admitting import AdmittedOperator, OperatorAdmission
from remit_server.application.oversight.ports import TrailFilter
from remit_server.application.oversight.see_audit import EventListOrder, SeeAudit
from remit_server.transport.grpc import oversight_mapping as mapping
from remit_server.transport.grpc.interceptor import admitted_as
from remit_server.transport.grpc.server import Offered

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class AuditService(AuditServiceServicer):
    """What the security team reads. `interceptor.py` has admitted it, and answers every failure."""

    admit: OperatorAdmission
    see: SeeAudit

    @property
    def offered(self) -> Offered:
        """The service as a server takes it."""
        descriptor = messages.DESCRIPTOR.services_by_name["AuditService"]
        return Offered(descriptor, add_AuditServiceServicer_to_server, self, self.admit)

    async def ListEvents(  # noqa: N802 - the name in the proto
        self, request: messages.ListEventsRequest, context: Context
    ) -> messages.ListEventsResponse:
        """Lists events."""
        del context
        by = admitted_as(AdmittedOperator)
        wanted = TrailFilter(request.task_id, request.kind)
        async with self.admit.reading(by, "ListEvents"):
            order = EventListOrder.of(by.operator, wanted, request.page_size, request.page_token)
        page = await self.see.listed(order)
        events = [mapping.event_message(event) for event in page.items]
        return messages.ListEventsResponse(events=events, next_page_token=page.next_token)

    async def WatchEvents(  # noqa: N802 - the name in the proto
        self, request: messages.WatchEventsRequest, context: Context
    ) -> AsyncGenerator[messages.WatchEventsResponse, None]:
        """Streams events."""
        del context
        operator = admitted_as(AdmittedOperator).operator
        async for event in self.see.watched(operator, request.from_sequence):
            yield messages.WatchEventsResponse(event=mapping.event_message(event))

    async def VerifyChain(  # noqa: N802 - the name in the proto
        self, request: messages.VerifyChainRequest, context: Context
    ) -> messages.VerifyChainResponse:
        """Verifies the chain."""
        del request, context
        return mapping.verify_response(await self.see.verified(admitted_as(AdmittedOperator).operator))
