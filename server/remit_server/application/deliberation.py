"""Where planning runs: on the event loop while it is quick, beside it when the exact path is needed."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from remit_server.application.ceilings import Ceilings
from remit_server.application.choosing import EXACT, FAST
from remit_server.application.flights import Flights
from remit_server.application.plan_session import Plan, Undetermined, Wish, plan_session
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.identity import Actor

THREADS = 2
WAITING_PER_ACTOR = 8
WAITING = 64
SMALL = 24


@dataclass(slots=True)
class Deliberation:
    """Plans sessions. What may take long runs in one of two threads, one call of an actor at a time."""

    ceilings: Ceilings
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="exact-path")
    )
    _turns: Flights = field(default_factory=Flights)
    _waiting: Counter[str] = field(default_factory=Counter)

    async def __call__(self, wish: Wish, allow: Allow, actor: Actor) -> Plan:
        """Returns the plan; raises what `plan_session` raises, or Outage(OVERLOADED) when too many hard cases wait."""
        if not wish.narrowed and _is_small(wish):
            try:
                return plan_session(wish, allow, self.ceilings, FAST)
            except Undetermined:
                pass
        return await self._beside_the_loop(wish, allow, actor.actor_id)

    async def _beside_the_loop(self, wish: Wish, allow: Allow, actor_id: str) -> Plan:
        """Plans in a thread when it is the actor's turn."""
        if self._waiting[actor_id] >= WAITING_PER_ACTOR or self._waiting.total() >= WAITING:
            raise Outage(Reason.OVERLOADED, "too many intents with wildcards are being proven: ask again in a second")
        self._waiting[actor_id] += 1
        try:
            async with self._turns(actor_id, "planning"):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, plan_session, wish, allow, self.ceilings, EXACT)
        finally:
            self._waiting[actor_id] -= 1
            self._waiting += Counter()  # drops actors that have none waiting

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _is_small(wish: Wish) -> bool:
    """Says whether planning is a matter of a few milliseconds at the most, whatever the patterns are."""
    return sum(len(item.actions) * len(item.resources) for item in wish.permissions) <= SMALL
