"""Decides for an operator on claims, an agent and an intent that are given, by a published revision."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.policy.deciding.simulate import Simulated, SimulateDecision, Supposition
from remit_server.application.policy.ports import Judge, OpenJudge, Revisions
from remit_server.application.policy.revisions.naming_revisions import allowed
from remit_server.application.ports import Revision
from remit_server.domain.decision import Decision, DecisionInput
from remit_server.domain.operator import Operator

SIMULATE: Final = "PolicyService.SimulateDecision"


@dataclass(frozen=True, slots=True)
class SimulateForOperator:
    """Simulates at an operator's word, one simulation at a time; nothing is issued."""

    authorize: Authorize
    revisions: Revisions
    judge: OpenJudge
    simulate: SimulateDecision
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, operator: Operator, digits: str, supposition: Supposition) -> Simulated:
        """Returns what the revision that begins so, the active one for no digits, would make of it.

        Raises Denied(NOT_FOUND), Denied(REVISION_REFUSED), InvalidRequest for what cannot be supposed, and Outage.
        """
        found = await allowed(self.authorize, self.revisions, operator, SIMULATE, digits)
        async with self._turn, self.judge(found.revision) as judge:
            bridged = _Bridged(judge, asyncio.get_running_loop())
            # NOTE: planning may take a second, so it has a loop of its own: no agent's call waits for a supposition.
            return await asyncio.to_thread(lambda: asyncio.run(self.simulate(bridged, supposition)))


@dataclass(frozen=True, slots=True)
class _Bridged:
    """A judge of one loop, asked from another."""

    judge: Judge
    loop: asyncio.AbstractEventLoop

    @property
    def revision(self) -> Revision:
        """Which revision, and its capabilities."""
        return self.judge.revision

    async def decide(self, question: DecisionInput, /) -> Decision:
        """Returns its decision, as the judge gives it on its own loop."""
        asked = asyncio.run_coroutine_threadsafe(self._asked(question), self.loop)
        return await asyncio.wrap_future(asked)

    async def _asked(self, question: DecisionInput) -> Decision:
        return await self.judge.decide(question)
