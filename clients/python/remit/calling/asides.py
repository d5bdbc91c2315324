"""Calls beside issuing and renewing: a part of a grant, a task for another agent, who calls, what a request came to."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from remit.calling import aside_mapping
from remit.calling.ask import Ask
from remit.calling.calls import Calls
from remit.grant import Decision, Grant, Identity, Issued
from remit.secret import Secret, Token
from remit.v1 import credential_service_pb2 as service
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub

if TYPE_CHECKING:
    import grpc


class AgentCalls(Calls):
    """All of an agent's calls."""

    def attenuate(self, ask: Ask, grant: Grant) -> Issued:
        """Asks for a part of a grant; raises RemitError."""
        request_id = str(uuid4())
        request = aside_mapping.attenuate_request(ask, grant, request_id=request_id)
        return aside_mapping.attenuated(self._call(_attenuate, request, request_id), request_id)

    async def attenuate_async(self, ask: Ask, grant: Grant) -> Issued:
        """Asks for a part of a grant; raises RemitError."""
        request_id = str(uuid4())
        request = aside_mapping.attenuate_request(ask, grant, request_id=request_id)
        return aside_mapping.attenuated(await self._call_async(_attenuate, request, request_id), request_id)

    def delegate(self, task_id: str, actor: str, purpose: str, max_duration: timedelta | None) -> str:
        """Hands a task on to another agent and returns the id of that one's task; raises RemitError."""
        request_id = str(uuid4())
        request = aside_mapping.delegate_request(
            task_id, actor, purpose=purpose, max_duration=max_duration, request_id=request_id
        )
        return self._call(_delegate, request, request_id).reveal().task_id

    async def delegate_async(self, task_id: str, actor: str, purpose: str, max_duration: timedelta | None) -> str:
        """Hands a task on to another agent and returns the id of that one's task; raises RemitError."""
        request_id = str(uuid4())
        request = aside_mapping.delegate_request(
            task_id, actor, purpose=purpose, max_duration=max_duration, request_id=request_id
        )
        return (await self._call_async(_delegate, request, request_id)).reveal().task_id

    def identify(self, token: Token | None) -> Identity:
        """Asks who is calling, and for whom; raises RemitError."""
        subject_token = token.read() if token else Secret("")
        request = aside_mapping.identity_request(subject_token)
        return aside_mapping.identity(self._call(_identify, request, bearer=self._both(token, subject_token)).reveal())

    async def identify_async(self, token: Token | None) -> Identity:
        """Asks who is calling, and for whom; raises RemitError."""
        subject_token = await asyncio.to_thread(token.read) if token else Secret("")
        request = aside_mapping.identity_request(subject_token)
        answer = await self._call_async(_identify, request, bearer=self._both(token, subject_token))
        return aside_mapping.identity(answer.reveal())

    def _both(self, token: Token | None, subject_token: Secret[str]) -> Secret[str] | None:
        """Returns the user's token where the same source gives the agent's own proof, too."""
        is_both = token is not None and self._bearer is not None and self._bearer.is_from_where(token)
        return subject_token if is_both else None

    def recall(self, request_id: str) -> Decision:
        """Asks what a request came to; raises RemitError."""
        request = Secret(service.GetDecisionRequest(request_id=request_id))
        return aside_mapping.decision(self._call(_recall, request, request_id).reveal(), request_id)

    async def recall_async(self, request_id: str) -> Decision:
        """Asks what a request came to; raises RemitError."""
        request = Secret(service.GetDecisionRequest(request_id=request_id))
        return aside_mapping.decision((await self._call_async(_recall, request, request_id)).reveal(), request_id)


def _attenuate(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.AttenuateCredentialsRequest, service.AttenuateCredentialsResponse]":
    return stub.AttenuateCredentials


def _identify(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.GetCallerIdentityRequest, service.GetCallerIdentityResponse]":
    return stub.GetCallerIdentity


def _recall(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.GetDecisionRequest, service.GetDecisionResponse]":
    return stub.GetDecision


def _delegate(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.DelegateTaskRequest, service.DelegateTaskResponse]":
    return stub.DelegateTask
