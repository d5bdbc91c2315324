"""CredentialService: message to domain, call, domain to message. Decides nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from remit.v1 import credential_service_pb2 as messages
from remit.v1.credential_service_pb2_grpc import CredentialServiceServicer
from remit_server.application.end_task import EndTask
from remit_server.application.issue_credentials import IssueCredentials
from remit_server.application.preview_credentials import PreviewCredentials
from remit_server.domain.errors import Reason, RemitError
from remit_server.domain.task import TaskId
from remit_server.transport.grpc import mapping
from remit_server.transport.grpc.caller import caller_of, peer_of

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class CredentialService(CredentialServiceServicer):
    """What agents call. `interceptor.py` has checked the message and turns every RemitError into its status.

    `reject` counts what fails before a use case, which records everything else, has seen it.
    """

    issue: IssueCredentials
    preview: PreviewCredentials
    end: EndTask
    reject: Callable[[str, Reason], None]

    async def IssueCredentials(  # noqa: N802 - the name in the proto
        self, request: messages.IssueCredentialsRequest, context: Context
    ) -> messages.IssueCredentialsResponse:
        """Issues credentials for a task intent."""
        with self._reading(context):
            asked = mapping.issue_request(request, caller_of(context))
        return mapping.issue_response(await self.issue(asked))

    async def PreviewCredentials(  # noqa: N802 - the name in the proto
        self, request: messages.PreviewCredentialsRequest, context: Context
    ) -> messages.PreviewCredentialsResponse:
        """Says what would be issued or why not."""
        with self._reading(context):
            asked = mapping.preview_request(request, caller_of(context))
        return mapping.preview_response(await self.preview(asked))

    async def EndTask(  # noqa: N802 - the name in the proto
        self, request: messages.EndTaskRequest, context: Context
    ) -> messages.EndTaskResponse:
        """Ends a task of the caller's."""
        with self._reading(context):
            caller = caller_of(context)
        return mapping.end_response(await self.end(caller, TaskId(request.task_id)))

    @contextmanager
    def _reading(self, context: Context) -> Iterator[None]:
        """Counts a call that cannot be read."""
        try:
            yield
        except RemitError as error:
            self.reject(peer_of(context), error.reason)
            raise
