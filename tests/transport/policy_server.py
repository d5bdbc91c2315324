"""A real gRPC server over TLS with PolicyService on a real ledger; bundles are really examined."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from tests.fakes import ROLES as CEILINGS
from tests.operator_world import SEES_ALL, OperatorWorld, operator_world
from tests.policy_bundles import DEFAULT_POLICIES, SERVING
from tests.transport.gateway_server import served

from remit.v1 import policy_service_pb2 as messages
from remit.v1.policy_service_pb2_grpc import PolicyServiceStub
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.policies.shadows import DatabaseShadows
from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.examining.examination import ExamineApart
from remit_server.adapters.identity.supposing import SupposedDelegations
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import MANIFEST
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.rego.judges import RegoJudges
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.plan_session import Planner
from remit_server.application.policy.deciding.simulate import SimulateDecision
from remit_server.application.policy.deciding.simulate_decision import SimulateForOperator
from remit_server.application.policy.replaying.replay_revision import ReplayRevision
from remit_server.application.policy.revisions.activate_revision import ActivateRevision
from remit_server.application.policy.revisions.check_revision import CheckRevision
from remit_server.application.policy.revisions.publish_revision import PublishRevision
from remit_server.application.policy.revisions.see_revisions import SeeRevisions
from remit_server.application.policy.shadowing.shadow_revision import ShadowRevision
from remit_server.transport.grpc.policy.service import PolicyService
from remit_server.transport.grpc.uploads import Uploads

if TYPE_CHECKING:
    from remit.v1.policy_service_pb2_grpc import PolicyServiceAsyncStub


@dataclass
class ScriptedPrepare:
    """Notes what is to be ready, and fails at will: no bundle that was published can be made to fail at a start."""

    asked: list[str] = field(default_factory=list)
    failure: Exception | None = None
    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, revision: str, /) -> None:
        self.asked.append(revision)
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.failure is not None:
            raise self.failure


@dataclass(frozen=True)
class Published:
    """A running server with its stub, and the world behind it."""

    world: OperatorWorld
    address: str
    ca_file: Path
    channel: grpc.aio.Channel
    stub: "PolicyServiceAsyncStub"
    revisions: DatabaseRevisions
    prepare: ScriptedPrepare
    woken: list[str]


@asynccontextmanager
async def policy_server(
    folder: Path, *, uploads: Uploads | None = None, per_minute: int = 1000
) -> AsyncIterator[Published]:
    """Serves PolicyService to olga, who may everything, to eve, who may nothing, and to sam, an administrator."""
    async with operator_world(folder) as world:
        world.operator("olga", SEES_ALL)
        world.operator("eve")
        world.operator("sam")
        world.administrators.add("corp:sam")
        revisions, prepare, woken = DatabaseRevisions(world.inner.ledger.store), ScriptedPrepare(), list[str]()
        clock = world.inner.clock

        async def followed(activation: int) -> None:
            woken.append(str(activation))

        simulate = SimulateDecision(SupposedDelegations((), ()), Planner(Ceilings.of(CEILINGS, (), "c" * 64)))
        authorize, examine = world.authorize, ExamineApart(SERVING)
        service = PolicyService(
            admit=world.admission("PolicyService", per_minute=per_minute),
            check=CheckRevision(authorize, examine),
            publish=PublishRevision(authorize, examine, revisions, world.inner.ledger),
            see=SeeRevisions(authorize, revisions),
            activate=ActivateRevision(authorize, revisions, prepare, followed, lambda: woken.append("woken")),
            shadow=ShadowRevision(authorize, revisions, DatabaseShadows(world.inner.ledger.store), prepare),
            replay=ReplayRevision(authorize, revisions, DatabaseHistory(world.inner.ledger.store), OpenTeam(), clock),
            simulate=SimulateForOperator(authorize, revisions, RegoJudges(revisions), simulate),
            clock=clock,
        )
        async with served(world.inner, folder, also=[service.offered], uploads=uploads) as running:
            stub = PolicyServiceStub(running.channel)
            ca_file = folder / "tls" / "ca.pem"
            yield Published(world, running.address, ca_file, running.channel, stub, revisions, prepare, woken)


def archive(**changed: str) -> bytes:
    """Returns the default policy as an archive; `changed` adds files: `lib__more` is remit/lib/more.rego."""
    files = read_files(DEFAULT_POLICIES)
    if changed:
        files[MANIFEST] = b'{"roots": ["remit"]}'
    for name, text in changed.items():
        files[f"remit/{name.replace('__', '/')}.rego"] = text.encode()
    return archive_of_files(files)


async def published_pieces(archive: bytes, size: int = 32 * 1024) -> AsyncIterator[messages.PublishRevisionRequest]:
    """Yields an archive as a caller sends it."""
    for piece in pieces_of(archive, size):
        yield messages.PublishRevisionRequest(chunk=piece)


def pieces_of(archive: bytes, size: int) -> Iterable[bytes]:
    return (archive[start : start + size] for start in range(0, len(archive), size))
