"""PolicyService: message to domain, call, domain to message. Decides nothing."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import grpc

from remit.v1 import policy_service_pb2 as messages
from remit.v1.policy_service_pb2_grpc import PolicyServiceServicer, add_PolicyServiceServicer_to_server
from remit_server.application.oversight.admitting import AdmittedOperator, OperatorAdmission
from remit_server.application.policy.deciding.simulate_decision import SimulateForOperator
from remit_server.application.policy.replaying.replay_revision import ReplayRevision
from remit_server.application.policy.revisions.activate_revision import ActivateRevision
from remit_server.application.policy.revisions.check_revision import CheckRevision
from remit_server.application.policy.revisions.publish_revision import PublishRevision
from remit_server.application.policy.revisions.receiving import Receive
from remit_server.application.policy.revisions.see_revisions import RevisionListOrder, SeeRevisions
from remit_server.application.policy.shadowing.shadow_revision import ShadowRevision
from remit_server.application.ports import Clock
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.transport.grpc.interceptor import admitted_as
from remit_server.transport.grpc.policy import mapping
from remit_server.transport.grpc.policy.simulating import simulate_response, supposition
from remit_server.transport.grpc.server import Offered

Context = grpc.aio.ServicerContext[Any, Any]
DESCRIPTOR: Any = messages.DESCRIPTOR.services_by_name["PolicyService"]
STREAMS: Final = frozenset({"DownloadRevision", "ReplayRevision"})
MAX_ARCHIVE: Final = 64 * 1024 * 1024
Piece = messages.CheckRevisionRequest | messages.PublishRevisionRequest


@dataclass(frozen=True)
class PolicyService(PolicyServiceServicer):
    """What the authors of policies and their CI call. `interceptor.py` has admitted them, and answers every failure."""

    admit: OperatorAdmission
    check: CheckRevision
    publish: PublishRevision
    see: SeeRevisions
    activate: ActivateRevision
    shadow: ShadowRevision
    replay: ReplayRevision
    simulate: SimulateForOperator
    clock: Clock

    @property
    def offered(self) -> Offered:
        """The service as a server takes it."""
        add: Any = add_PolicyServiceServicer_to_server
        return Offered(DESCRIPTOR, add, self, self.admit)

    async def CheckRevision(  # noqa: N802 - the name in the proto
        self, request_iterator: AsyncIterator[messages.CheckRevisionRequest], context: Context
    ) -> messages.CheckRevisionResponse:
        """Checks a bundle."""
        del context
        by = _operator()
        return mapping.check_response(
            await self.check(by.operator, self._receiving(by, "CheckRevision", request_iterator))
        )

    async def PublishRevision(  # noqa: N802 - the name in the proto
        self, request_iterator: AsyncIterator[messages.PublishRevisionRequest], context: Context
    ) -> messages.PublishRevisionResponse:
        """Publishes a bundle."""
        del context
        by = _operator()
        published = await self.publish(by.operator, self._receiving(by, "PublishRevision", request_iterator))
        active = await self.see.decides(published.revision.revision)
        return mapping.publish_response(published, active=active)

    async def ListRevisions(  # noqa: N802 - the name in the proto
        self, request: messages.ListRevisionsRequest, context: Context
    ) -> messages.ListRevisionsResponse:
        """Lists revisions."""
        del context
        by = _operator()
        async with self.admit.reading(by, "ListRevisions"):
            order = RevisionListOrder.of(by.operator, request.page_size, request.page_token)
        return mapping.list_response(await self.see.listed(order))

    async def GetRevision(  # noqa: N802 - the name in the proto
        self, request: messages.GetRevisionRequest, context: Context
    ) -> messages.GetRevisionResponse:
        """Returns a revision."""
        del context
        return mapping.get_response(await self.see.one(_operator().operator, request.revision))

    async def DownloadRevision(  # noqa: N802 - the name in the proto
        self, request: messages.DownloadRevisionRequest, context: Context
    ) -> AsyncGenerator[messages.DownloadRevisionResponse]:
        """Streams a bundle."""
        del context
        named = False
        async with aclosing(self.see.archive(_operator().operator, request.revision)) as pieces:
            async for revision, piece in pieces:
                yield messages.DownloadRevisionResponse(chunk=piece, revision="" if named else revision)
                named = True

    async def ActivateRevision(  # noqa: N802 - the name in the proto
        self, request: messages.ActivateRevisionRequest, context: Context
    ) -> messages.ActivateRevisionResponse:
        """Activates a revision."""
        del context
        by = _operator()
        async with self.admit.reading(by, "ActivateRevision"):
            asked = mapping.activation_request(request, by.operator)
        return mapping.activate_response(await self.activate(asked))

    async def StartShadow(  # noqa: N802 - the name in the proto
        self, request: messages.StartShadowRequest, context: Context
    ) -> messages.StartShadowResponse:
        """Puts a candidate into shadow."""
        del context
        return messages.StartShadowResponse(revision=await self.shadow.start(_operator().operator, request.revision))

    async def StopShadow(  # noqa: N802 - the name in the proto
        self, request: messages.StopShadowRequest, context: Context
    ) -> messages.StopShadowResponse:
        """Ends the shadow."""
        del request, context
        return messages.StopShadowResponse(revision=await self.shadow.stop(_operator().operator))

    async def GetShadow(  # noqa: N802 - the name in the proto
        self, request: messages.GetShadowRequest, context: Context
    ) -> messages.GetShadowResponse:
        """Returns what was counted of a candidate."""
        del context
        return mapping.shadow_response(await self.shadow.shown(_operator().operator, request.revision))

    async def SimulateDecision(  # noqa: N802 - the name in the proto
        self, request: messages.SimulateDecisionRequest, context: Context
    ) -> messages.SimulateDecisionResponse:
        """Simulates."""
        del context
        by = _operator()
        async with self.admit.reading(by, "SimulateDecision"):
            supposed = supposition(request, self.clock.now())
        return simulate_response(await self.simulate(by.operator, request.revision, supposed))

    async def ReplayRevision(  # noqa: N802 - the name in the proto
        self, request: messages.ReplayRevisionRequest, context: Context
    ) -> AsyncGenerator[messages.ReplayRevisionResponse]:
        """Streams progress and the report."""
        del context
        asked = mapping.replay_request(request, _operator().operator)
        async with aclosing(self.replay(asked)) as told:
            async for outcome in told:
                for answer in mapping.replay_responses(outcome):
                    yield answer

    def _receiving(self, by: AdmittedOperator, method: str, pieces: AsyncIterator[Piece]) -> Receive:
        """Returns what reads an archive off a stream, once it is called; what cannot be one is on record."""

        async def receive() -> bytes:
            async with self.admit.reading(by, method):
                return await _archive(pieces)

        return receive


async def _archive(pieces: AsyncIterator[Piece]) -> bytes:
    """Returns the archive that comes in pieces; raises InvalidRequest for none and for one over the limit."""
    archive = BytesIO()
    async for piece in pieces:
        if archive.tell() + len(piece.chunk) > MAX_ARCHIVE:
            raise InvalidRequest([FieldViolation("chunk", f"takes the archive over {MAX_ARCHIVE} bytes")])
        archive.write(piece.chunk)
    if not archive.tell():
        raise InvalidRequest([FieldViolation("the request", "holds no bundle")])
    return archive.getvalue()


def _operator() -> AdmittedOperator:
    """Returns who was let in for the call that is running."""
    return admitted_as(AdmittedOperator)
