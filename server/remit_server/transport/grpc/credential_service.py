"""CredentialService: message to domain, call, domain to message. Decides nothing."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc

from remit.v1 import credential_service_pb2 as messages
from remit.v1.credential_service_pb2_grpc import CredentialServiceServicer, add_CredentialServiceServicer_to_server
from remit_server.application.admission import Admission
from remit_server.application.attenuation import attenuate_credentials
from remit_server.application.attenuation.attenuate_credentials import AttenuateCredentials
from remit_server.application.caller.identify_caller import IdentifyCaller
from remit_server.application.caller.recall_decision import RecallDecision
from remit_server.application.delegating import delegate_task
from remit_server.application.delegating.delegate_task import DelegateTask
from remit_server.application.issuing import issue_credentials, preview_credentials
from remit_server.application.issuing.end_task import EndTask
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.application.issuing.preview_credentials import PreviewCredentials
from remit_server.application.lifecycle import renew_credentials, watch_task
from remit_server.application.lifecycle.renew_credentials import RenewCredentials
from remit_server.application.lifecycle.watch_task import WatchTask
from remit_server.domain.secret import Secret
from remit_server.domain.task import TaskId
from remit_server.transport.grpc import attenuation_mapping, delegation_mapping, mapping
from remit_server.transport.grpc.interceptor import admitted_caller
from remit_server.transport.grpc.server import Offered

Context = grpc.aio.ServicerContext[Any, Any]
DESCRIPTOR: Any = messages.DESCRIPTOR.services_by_name["CredentialService"]


@dataclass(frozen=True)
class CredentialService(CredentialServiceServicer):
    """What agents call. `interceptor.py` has admitted them and checked the message, and answers every failure."""

    admit: Admission
    admit_streams: Admission
    issue: IssueCredentials
    preview: PreviewCredentials
    renew: RenewCredentials
    end: EndTask
    watch: WatchTask
    attenuate: AttenuateCredentials
    identify: IdentifyCaller
    recall: RecallDecision
    delegate: DelegateTask

    @property
    def offered(self) -> Offered:
        """The service as a server takes it."""
        add: Any = add_CredentialServiceServicer_to_server
        return Offered(DESCRIPTOR, add, self, self.admit, self.admit_streams)

    async def IssueCredentials(  # noqa: N802 - the name in the proto
        self, request: messages.IssueCredentialsRequest, context: Context
    ) -> messages.IssueCredentialsResponse:
        """Issues credentials for a task intent."""
        del context
        by = admitted_caller()
        async with self.admit.reading(by, issue_credentials.METHOD):
            asked = mapping.issue_request(request, by)
        return mapping.issue_response(await self.issue(asked))

    async def PreviewCredentials(  # noqa: N802 - the name in the proto
        self, request: messages.PreviewCredentialsRequest, context: Context
    ) -> messages.PreviewCredentialsResponse:
        """Says what would be issued or why not."""
        del context
        by = admitted_caller()
        async with self.admit.reading(by, preview_credentials.METHOD):
            asked = mapping.preview_request(request, by)
        return mapping.preview_response(await self.preview(asked))

    async def EndTask(  # noqa: N802 - the name in the proto
        self, request: messages.EndTaskRequest, context: Context
    ) -> messages.EndTaskResponse:
        """Ends a task of the caller's."""
        del context
        return mapping.end_response(await self.end(admitted_caller(), TaskId(request.task_id)))

    async def RenewCredentials(  # noqa: N802 - the name in the proto
        self, request: messages.RenewCredentialsRequest, context: Context
    ) -> messages.RenewCredentialsResponse:
        """Gives new credentials of a live grant."""
        del context
        by = admitted_caller()
        async with self.admit.reading(by, renew_credentials.METHOD):
            asked = mapping.renew_request(request, by)
        return mapping.renew_response(await self.renew(asked))

    async def WatchTask(  # noqa: N802 - the name in the proto
        self, request: messages.WatchTaskRequest, context: Context
    ) -> AsyncGenerator[messages.WatchTaskResponse, None]:
        """Streams what happens to a task of the caller's."""
        del context
        by = admitted_caller()
        async with self.admit_streams.reading(by, watch_task.METHOD):
            grace = mapping.disconnect_grace(request)
        async with aclosing(self.watch(by, TaskId(request.task_id), grace)) as events:
            async for event in events:
                yield mapping.watch_response(event)

    async def AttenuateCredentials(  # noqa: N802 - the name in the proto
        self, request: messages.AttenuateCredentialsRequest, context: Context
    ) -> messages.AttenuateCredentialsResponse:
        """Gives narrower credentials out of a live grant."""
        del context
        by = admitted_caller()
        async with self.admit.reading(by, attenuate_credentials.METHOD):
            asked = attenuation_mapping.attenuate_request(request, by)
        return attenuation_mapping.attenuate_response(await self.attenuate(asked))

    async def DelegateTask(  # noqa: N802 - the name in the proto
        self, request: messages.DelegateTaskRequest, context: Context
    ) -> messages.DelegateTaskResponse:
        """Opens a task under a task for another agent."""
        del context
        by = admitted_caller()
        async with self.admit.reading(by, delegate_task.METHOD):
            asked = delegation_mapping.delegate_request(request, by)
        return delegation_mapping.delegate_response(await self.delegate(asked))

    async def GetCallerIdentity(  # noqa: N802 - the name in the proto
        self, request: messages.GetCallerIdentityRequest, context: Context
    ) -> messages.GetCallerIdentityResponse:
        """Says who is calling."""
        del context
        identity = await self.identify(admitted_caller(), Secret(request.subject_token))
        return attenuation_mapping.identity_response(identity)

    async def GetDecision(  # noqa: N802 - the name in the proto
        self, request: messages.GetDecisionRequest, context: Context
    ) -> messages.GetDecisionResponse:
        """Explains an earlier request of the caller's."""
        del context
        outcome = await self.recall(admitted_caller(), request.request_id.lower())
        return attenuation_mapping.decision_response(outcome)
