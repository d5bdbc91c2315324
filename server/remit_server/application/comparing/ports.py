"""What a comparison needs of the outside: two engines to ask, and their reading of an actor's pattern."""

from typing import Protocol

from remit_server.domain.administration import AdminDecision
from remit_server.domain.decision import Decision, DecisionInput


class Answers(Protocol):
    """A policy that decides, in whichever engine."""

    async def decide(self, question: DecisionInput, /) -> Decision:
        """Returns the complete decision; raises Outage for anything else."""
        ...

    async def administer(self, question: DecisionInput, /) -> AdminDecision:
        """Returns the complete decision on the security side; raises Outage for anything else."""
        ...


class MatchesActor(Protocol):
    """Reads an actor's pattern as the engine does."""

    def __call__(self, pattern: str, actor: str, /) -> bool:
        """Says whether the pattern names the actor; False for what is no pattern."""
        ...
