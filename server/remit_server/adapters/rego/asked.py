"""A bundle's own engine, for whoever wants to ask it many questions and to lose nothing when it does not answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.rego.builtins import glob_match
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.domain.administration import AdminDecision
from remit_server.domain.decision import Decision, DecisionInput

LIMITS: Final = EngineLimits(workers=1, spares=0, decision_seconds=5.0, wait_seconds=120.0, memory_bytes=1 << 30)
_SEPARATORS: Final = ["/", ":"]


class AskedBundle:
    """Answers by the one bundle it was started with."""

    def __init__(self, engine: EmbeddedRego) -> None:
        self._engine = engine

    async def decide(self, question: DecisionInput, /) -> Decision:
        """Returns the decision for credentials; raises Outage for anything else."""
        return await self._engine.decide(self._engine.active, question)

    async def administer(self, question: DecisionInput, /) -> AdminDecision:
        """Returns the decision on the security side; raises Outage for anything else."""
        return await self._engine.administer(self._engine.active, question)


@asynccontextmanager
async def asked_bundle(bundle: Bundle, limits: EngineLimits = LIMITS) -> AsyncIterator[AskedBundle]:
    """Gives a bundle's engine, which is ended afterwards; raises BundleRefused for one that may not decide."""
    engine = await EmbeddedRego.start(bundle, limits)
    try:
        yield AskedBundle(engine)
    finally:
        await engine.close()


def matches_actor(pattern: str, actor: str, /) -> bool:
    """Says whether a pattern of `actors` names an actor, as the default rules read it: `*` is one step."""
    try:
        return glob_match(pattern, _SEPARATORS, actor) is True
    except ValueError:
        return False
