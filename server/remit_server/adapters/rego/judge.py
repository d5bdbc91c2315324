"""A revision that decides beside the active one, on an embedded engine of its own."""

from dataclasses import dataclass

from remit_server.adapters.rego.embedded import EmbeddedRego
from remit_server.application.ports import Revision
from remit_server.domain.decision import Decision, DecisionInput


@dataclass(frozen=True, slots=True)
class EmbeddedJudge:
    """Implements `Judge` by an engine that has one bundle from its start to its end."""

    engine: EmbeddedRego

    @property
    def revision(self) -> Revision:
        """Which revision, and its capabilities."""
        return self.engine.active

    async def decide(self, question: DecisionInput, /) -> Decision:
        """Returns its complete decision; raises Outage for anything else."""
        return await self.engine.decide(self.engine.active, question)
