"""Wires what has a candidate decide beside the active revision."""

from contextlib import AsyncExitStack

from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.policies.shadow_counting import DatabaseShadowCounting
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.issuing.hearing import Observe
from remit_server.application.planning.ceilings import kept_ceilings
from remit_server.application.policy.shadowing.shadowing import Shadowing
from remit_server.config.settings import Settings


async def decide_in_shadow(stack: AsyncExitStack, settings: Settings, ledger: DatabaseLedger) -> Observe:
    """Returns what takes live decisions; the candidate runs in a process of its own, which gives way to all others."""
    shadowing = Shadowing(
        DatabaseShadowCounting(ledger.store),
        DatabaseRevisions(ledger.store),
        OpenTeam(1, is_nice=True),
        kept_ceilings(settings.roles, [str(action) for action in settings.forbidden_extra]),
    )
    await stack.enter_async_context(shadowing.running())
    return shadowing
