"""A real gRPC server over TLS in front of a world's use cases, and a stub that talks to it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from tests.fakes import World

from remit.v1.credential_service_pb2 import IssueCredentialsRequest
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit.v1.types_pb2 import Permission, Refusal, TaskIntent
from remit_sandbox.certificates import Authority
from remit_server.config.settings import ListenerSettings
from remit_server.transport.grpc.credential_service import CredentialService
from remit_server.transport.grpc.interceptor import READ_WITHIN, TAKEN_WITHIN
from remit_server.transport.grpc.server import CONNECTIONS, LOOK_EVERY, GrpcServer, Offered
from remit_server.transport.grpc.streams import STREAM_AGE
from remit_server.transport.grpc.uploads import Uploads

if TYPE_CHECKING:
    from remit.v1.credential_service_pb2_grpc import CredentialServiceAsyncStub

REQUEST_ID = "4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11"


@dataclass(frozen=True)
class Served:
    """A running server, the channel to it, and the world behind it."""

    world: World
    address: str
    roots: bytes
    channel: grpc.aio.Channel
    stub: "CredentialServiceAsyncStub"
    server: GrpcServer
    authority: Authority


@asynccontextmanager
async def served(
    world: World,
    folder: Path,
    *,
    concurrent_calls: int = 64,
    read_within: timedelta = READ_WITHIN,
    taken_within: timedelta = TAKEN_WITHIN,
    streams: int = 64,
    also: Sequence[Offered] = (),
    stream_age: timedelta = STREAM_AGE,
    look_every: timedelta = LOOK_EVERY,
    uploads: Uploads | None = None,
    connections: int = CONNECTIONS,
) -> AsyncIterator[Served]:
    """Serves the world on a bearer listener on loopback."""
    authority = Authority.create(folder / "tls")
    pair = authority.issue_server(["localhost", "127.0.0.1"])
    service = CredentialService(
        world.admit,
        world.admit_streams,
        world.issue,
        world.preview,
        world.renew,
        world.end,
        world.watch,
        world.attenuate,
        world.identify,
        world.recall,
        world.delegate,
    )
    server = GrpcServer(
        [service.offered, *also],
        concurrent_calls=concurrent_calls,
        streams=streams,
        read_within=read_within,
        taken_within=taken_within,
        stream_age=stream_age,
        look_every=look_every,
        uploads=uploads,
        connections=connections,
    )
    address = server.listen(ListenerSettings("127.0.0.1:0", pair.certificate_path, pair.key_path))
    roots = authority.bundle_path.read_bytes()
    await server.start()
    try:
        async with (
            world.watch.watching.running(),
            grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots)) as channel,
        ):
            yield Served(world, address, roots, channel, CredentialServiceStub(channel), server, authority)
    finally:
        await server.stop(timedelta(seconds=1))


def issue_message(resource: str = "arn:aws:s3:::reports/2026/q3/*", **more: Any) -> IssueCredentialsRequest:
    """Returns the message of a copilot that reads reports for alice."""
    intent = TaskIntent(
        purpose="summarise Q3", permissions=[Permission(actions=["s3:GetObject"], resources=[resource])]
    )
    fields = {"request_id": REQUEST_ID, "subject_token": "alice@copilot", "intent": intent, **more}
    return IssueCredentialsRequest(**fields)


def as_agent(name: str = "copilot") -> tuple[tuple[str, str], ...]:
    """Returns the metadata of an agent that shows its bearer token."""
    return (("authorization", f"Bearer {name}"),)


@dataclass(frozen=True)
class Failure:
    """A failed call taken apart."""

    code: grpc.StatusCode
    message: str
    info: ErrorInfo
    refusal: Refusal | None
    violations: dict[str, str]


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """Takes the status of a failed call apart."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert isinstance(details, bytes)
    status = Status.FromString(details)
    info, refusal, request = ErrorInfo(), Refusal(), BadRequest()
    found = {
        message.DESCRIPTOR.name
        for message in (info, refusal, request)
        for item in status.details
        if item.Unpack(message)
    }
    return Failure(
        error.code(),
        error.details() or "",
        info,
        refusal if "Refusal" in found else None,
        {item.field: item.description for item in request.field_violations},
    )
