"""Whole requests, from the message that arrived to the bytes that leave: without TLS, policy's engine and STS.

The ledger is a real one, with its threads. What verifies tokens, answers for policy and is asked for sessions is of
`tests.fakes`, so that these rows are about what lies between.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import uvloop
from google.protobuf.message import Message
from tests.fakes import NOON, World, world
from tests.speed.rows import Group, Row

from remit.v1 import credential_service_pb2 as messages
from remit.v1.credential_service_pb2_grpc import add_CredentialServiceServicer_to_server
from remit.v1.types_pb2 import Permission, TaskIntent
from remit_server.domain.credentials import Credentials, SessionOrder, StsSession
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.credential_service import CredentialService
from remit_server.transport.grpc.interceptor import Guard
from remit_server.transport.grpc.streams import Streams

TOKEN = "alice@copilot"
Ask = Callable[[str, Message], Awaitable[bytes]]
Next = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call as the library hands it on."""

    bearer: str = "copilot"

    def peer(self) -> str:
        return "ipv4:127.0.0.1:40000"

    def auth_context(self) -> Mapping[str, Any]:
        return {}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.bearer}"),)


class _Front:
    """Takes the handlers of a service and calls them as the library's server does."""

    def __init__(self, served: World) -> None:
        cases = (served.issue, served.preview, served.renew, served.end, served.watch, served.attenuate)
        more = (served.identify, served.recall, served.delegate)
        service = CredentialService(served.admit, served.admit_streams, *cases, *more)
        self._guard = Guard(service.offered.doors(), calls=8, streams=Streams(8, taken_within=timedelta(seconds=5)))
        self._service = ""
        self._handlers: Mapping[str, Any] = {}
        to_this: Any = self
        add_CredentialServiceServicer_to_server(service, to_this)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Has no need of them: they find the same methods by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Takes the methods."""
        self._service, self._handlers = service, handlers

    async def ask(self, method: str, request: Message) -> bytes:
        """Returns the answer's bytes."""
        details: Any = _Details(f"/{self._service}/{method}")
        handler: Any = await self._guard.intercept_service(self._found, details)
        answer = await handler.stream_unary(_sent(request.SerializeToString()), _Call())
        return bytes(handler.response_serializer(answer))

    async def _found(self, details: grpc.HandlerCallDetails) -> Any:
        return self._handlers[str(details.method).rpartition("/")[2]]


@dataclass(frozen=True, slots=True)
class _Details:
    method: str


async def _sent(message: bytes) -> AsyncIterator[bytes]:
    yield message


async def _session(order: SessionOrder, /, *, deadline: float) -> StsSession:
    """Answers as STS does."""
    del deadline
    end = NOON + timedelta(seconds=order.duration_seconds)
    return StsSession(Credentials("ASIAEXAMPLE000000000", Secret("s" * 40), Secret("t" * 400), end), 7)


@contextmanager
def asked(begin: Callable[[Ask], Awaitable[Next]]) -> Iterator[Callable[[], object]]:
    """One request after the other, each with a number of its own; `begin` returns what asks them."""
    # uvloop's loop, which is the gateway's, and of which no instruction is Python's.
    with TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stack, loop, numbers = AsyncExitStack(), runner.get_loop(), count()
        next_one = runner.run(_begun(stack, Path(folder), begin))
        try:
            yield lambda: loop.run_until_complete(next_one(next(numbers)))
        finally:
            runner.run(stack.aclose())


async def _begun(stack: AsyncExitStack, folder: Path, begin: Callable[[Ask], Awaitable[Next]]) -> Next:
    served = await stack.enter_async_context(world(folder))
    served.issue = replace(served.issue, assume_role=_session)
    served.renew = replace(served.renew, assume_role=_session)
    return await begin(_Front(served).ask)


def _intent(number: int) -> TaskIntent:
    """Returns an intent of two permissions, not asked for before."""
    reads = Permission(actions=["s3:GetObject"], resources=[f"arn:aws:s3:::reports/2026/{number:06}/*"])
    lists = Permission(actions=["s3:ListBucket"], resources=["arn:aws:s3:::reports"])
    return TaskIntent(purpose="summarise Q3", permissions=[reads, lists])


def _issue_request(number: int) -> messages.IssueCredentialsRequest:
    request_id = f"4c1b7d52-3f0e-4a4e-9a3a-{number:012}"
    return messages.IssueCredentialsRequest(request_id=request_id, subject_token=TOKEN, intent=_intent(number))


async def issuances(ask: Ask) -> Next:
    """Each opens a task of its own."""
    return lambda number: ask("IssueCredentials", _issue_request(number))


async def previews(ask: Ask) -> Next:
    """Each of another intent."""

    def preview(number: int) -> Awaitable[object]:
        return ask(
            "PreviewCredentials", messages.PreviewCredentialsRequest(subject_token=TOKEN, intent=_intent(number))
        )

    return preview


async def renewals(ask: Ask) -> Next:
    """All of one grant."""
    issued = messages.IssueCredentialsResponse.FromString(await ask("IssueCredentials", _issue_request(0)))
    request = messages.RenewCredentialsRequest(name=issued.grant.name, subject_token=TOKEN)
    return lambda _: ask("RenewCredentials", request)


GROUP = Group(
    [
        Row("an issuance", partial(asked, issuances)),
        Row("a preview", partial(asked, previews)),
        Row("a renewal", partial(asked, renewals)),
    ]
)
