"""Wires what the authors of policies call."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from remit_server.adapters.database.policies.shadows import DatabaseShadows
from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import own_reader
from remit_server.adapters.examining.examination import ExamineApart
from remit_server.adapters.identity.supposing import SupposedDelegations
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.oversight.admitting import OperatorAdmission
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
from remit_server.bootstrap.oversight import Oversight
from remit_server.bootstrap.policy import PolicyParts
from remit_server.config.settings import Settings
from remit_server.transport.grpc.policy.service import STREAMS, PolicyService
from remit_server.transport.grpc.server import Offered

REPLAY_JOBS: Final = 2  # they give way to agents' calls


async def let_authors_publish(
    stack: AsyncExitStack,
    oversight: Oversight,
    door: Callable[[str, frozenset[str]], OperatorAdmission],
    policy: PolicyParts,
    *,
    wake: Callable[[], None] = lambda: None,
) -> Offered:
    """Returns PolicyService; `wake` tells whoever writes to AWS that an activation revoked something.

    Replays read history on a connection of their own until the stack is left.
    """
    authorize, revisions, prepare = oversight.authorize, policy.revisions, policy.active.prepare
    settings = oversight.settings
    examine = ExamineApart(settings, settings.policy.signing)
    reads = await stack.enter_async_context(
        own_reader(settings.database_url, password_file=settings.database_password_file)
    )
    replays = OpenTeam(REPLAY_JOBS, is_nice=True)
    service = PolicyService(
        admit=door("PolicyService", STREAMS),
        check=CheckRevision(authorize, examine),
        publish=PublishRevision(authorize, examine, revisions, oversight.ledger),
        see=SeeRevisions(authorize, revisions),
        activate=ActivateRevision(authorize, revisions, prepare, policy.active.follow, wake),
        shadow=ShadowRevision(authorize, revisions, DatabaseShadows(oversight.ledger.store), prepare),
        replay=ReplayRevision(authorize, revisions, DatabaseHistory(reads), replays, oversight.clock),
        simulate=SimulateForOperator(authorize, revisions, policy.judges, _simulate(settings)),
        clock=oversight.clock,
    )
    return service.offered


def _simulate(settings: Settings) -> SimulateDecision:
    """Returns what simulates under this configuration's issuers, agents and ceilings."""
    forbidden = tuple(str(action) for action in settings.forbidden_extra)
    planner = Planner(Ceilings.of(settings.roles, forbidden, settings.ceilings_digest))
    return SimulateDecision(SupposedDelegations(settings.issuers, settings.agents), planner)
