"""GrantService: message to domain, call, domain to message. Decides nothing."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc

from remit.v1 import grant_service_pb2 as messages
from remit.v1.grant_service_pb2_grpc import GrantServiceServicer, add_GrantServiceServicer_to_server
from remit_server.application.oversight.admitting import AdmittedOperator, OperatorAdmission
from remit_server.application.oversight.revoke import BlockListOrder, OperatorRevokes
from remit_server.application.oversight.see_grants import ListOrder, SeeGrants
from remit_server.domain.grant_filter.reading import filter_of
from remit_server.transport.grpc import oversight_mapping as mapping
from remit_server.transport.grpc.interceptor import admitted_as
from remit_server.transport.grpc.mapping import grant_message
from remit_server.transport.grpc.server import Offered

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class GrantService(GrantServiceServicer):
    """What the security team calls. `interceptor.py` has admitted it, and answers every failure."""

    admit: OperatorAdmission
    see: SeeGrants
    revokes: OperatorRevokes

    @property
    def offered(self) -> Offered:
        """The service as a server takes it."""
        descriptor = messages.DESCRIPTOR.services_by_name["GrantService"]
        return Offered(descriptor, add_GrantServiceServicer_to_server, self, self.admit)

    async def GetGrant(  # noqa: N802 - the name in the proto
        self, request: messages.GetGrantRequest, context: Context
    ) -> messages.GetGrantResponse:
        """Returns one grant."""
        del context
        task_id, grant_id = mapping.grant_name(request.name)
        grant = await self.see.one(_operator().operator, task_id, grant_id)
        return messages.GetGrantResponse(grant=grant_message(grant))

    async def ListGrants(  # noqa: N802 - the name in the proto
        self, request: messages.ListGrantsRequest, context: Context
    ) -> messages.ListGrantsResponse:
        """Lists grants."""
        del context
        by = _operator()
        async with self.admit.reading(by, "ListGrants"):
            order = ListOrder.of(by.operator, request.filter, request.page_size, request.page_token)
        return mapping.list_response(await self.see.listed(order))

    async def RevokeGrants(  # noqa: N802 - the name in the proto
        self, request: messages.RevokeGrantsRequest, context: Context
    ) -> messages.RevokeGrantsResponse:
        """Revokes."""
        del context
        by = _operator()
        async with self.admit.reading(by, "RevokeGrants"):
            asked = mapping.revoke_request(request, by.operator)
        return mapping.revoke_response(await self.revokes(asked))

    async def ListBlocks(  # noqa: N802 - the name in the proto
        self, request: messages.ListBlocksRequest, context: Context
    ) -> messages.ListBlocksResponse:
        """Lists who is blocked."""
        del context
        by = _operator()
        async with self.admit.reading(by, "ListBlocks"):
            order = BlockListOrder.of(by.operator, request.page_size, request.page_token)
        return mapping.blocks_response(await self.revokes.blocks(order))

    async def RemoveBlock(  # noqa: N802 - the name in the proto
        self, request: messages.RemoveBlockRequest, context: Context
    ) -> messages.RemoveBlockResponse:
        """Lifts a block."""
        del context
        block_id = request.name.rpartition("/")[2]
        lifted = await self.revokes.lift(_operator().operator, block_id, request.why)
        answer = messages.RemoveBlockResponse()
        answer.lift_time.FromDatetime(lifted)
        return answer

    async def WatchGrants(  # noqa: N802 - the name in the proto
        self, request: messages.WatchGrantsRequest, context: Context
    ) -> AsyncGenerator[messages.WatchGrantsResponse, None]:
        """Streams grants as they change."""
        del context
        by = _operator()
        async with self.admit.reading(by, "WatchGrants"):
            wanted = filter_of(request.filter)
        async for change in self.see.watched(by.operator, request.filter, wanted):
            yield messages.WatchGrantsResponse(grant=grant_message(change.grant), sequence=change.sequence)


def _operator() -> AdmittedOperator:
    """Returns who was let in for the call that is running."""
    return admitted_as(AdmittedOperator)
