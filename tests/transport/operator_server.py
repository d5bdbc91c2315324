"""A real gRPC server over TLS in front of the security side, beside what agents call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from tests.operator_world import ISSUER, OperatorWorld, operator_world
from tests.transport.gateway_server import served

from remit.v1.audit_service_pb2_grpc import AuditServiceStub
from remit.v1.grant_service_pb2_grpc import GrantServiceStub
from remit_server.adapters.database.reading.grant_shelf import DatabaseGrants
from remit_server.adapters.database.reading.own_reader import OwnReader, own_reader
from remit_server.adapters.database.trail import audit_log
from remit_server.adapters.database.trail.trail import DatabaseTrail
from remit_server.application.oversight.known_names import KnownNames
from remit_server.application.oversight.see_audit import SeeAudit
from remit_server.application.oversight.see_grants import SeeGrants
from remit_server.bootstrap.oversight import operator_revokes
from remit_server.transport.grpc.audit_service import AuditService
from remit_server.transport.grpc.grant_service import GrantService
from remit_server.transport.grpc.streams import STREAM_AGE

if TYPE_CHECKING:
    from remit.v1.audit_service_pb2_grpc import AuditServiceAsyncStub
    from remit.v1.credential_service_pb2_grpc import CredentialServiceAsyncStub
    from remit.v1.grant_service_pb2_grpc import GrantServiceAsyncStub

KNOWN = KnownNames(
    frozenset({ISSUER}), frozenset({"corp"}), frozenset({"acme.example"}), {"copilot": "spiffe://acme.example/copilot"}
)


@dataclass(frozen=True)
class Overseen:
    """A running server with its stubs, and the world behind it."""

    world: OperatorWorld
    address: str
    ca_file: Path
    channel: grpc.aio.Channel
    grants: "GrantServiceAsyncStub"
    audit: "AuditServiceAsyncStub"
    credentials: "CredentialServiceAsyncStub"
    see_audit: SeeAudit
    reads: OwnReader


@asynccontextmanager
async def overseen(
    folder: Path,
    *,
    look_every: timedelta = timedelta(milliseconds=50),
    administrators: frozenset[str] = frozenset(),
    stream_age: timedelta = STREAM_AGE,
) -> AsyncIterator[Overseen]:
    """Serves a world with operators on a bearer listener on loopback."""
    async with operator_world(folder) as world, own_reader(world.inner.database) as reads:
        world.administrators |= administrators
        trail = DatabaseTrail(reads, partial(audit_log.verify, world.inner.database), look_every)
        shelf = DatabaseGrants(reads)
        authorize = world.authorize
        see_audit = SeeAudit(authorize, trail)
        grants = GrantService(
            world.admission("GrantService"),
            SeeGrants(authorize, shelf, trail),
            operator_revokes(authorize, world.inner.ledger, lambda: None, KNOWN),
        )
        audit = AuditService(world.admission("AuditService"), see_audit)
        async with served(world.inner, folder, also=[grants.offered, audit.offered], stream_age=stream_age) as running:
            yield Overseen(
                world,
                running.address,
                folder / "tls" / "ca.pem",
                running.channel,
                GrantServiceStub(running.channel),
                AuditServiceStub(running.channel),
                running.stub,
                see_audit,
                reads,
            )


def as_operator(name: str) -> Any:
    """Returns the metadata of an operator that shows its bearer token."""
    return (("authorization", f"Bearer ops-{name}"),)
