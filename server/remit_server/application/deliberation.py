"""Where planning runs: on the event loop while it is quick, beside it when the exact path is needed."""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from remit_server.application.ceilings import Ceilings
from remit_server.application.choosing import EXACT, FAST
from remit_server.application.plan_session import Plan, Undetermined, Wish, plan_session
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.identity import Actor

PER_ACTOR = 2
THREADS = 2
WAITING = 32


@dataclass(slots=True)
class Deliberation:
    """Plans sessions. A call past the fast path takes one of two threads; an actor has two such calls at a time."""

    ceilings: Ceilings
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="exact-path")
    )
    _running: Counter[str] = field(default_factory=Counter)

    async def __call__(self, wish: Wish, allow: Allow, actor: Actor) -> Plan:
        """Returns the plan; raises what `plan_session` raises, or Outage(OVERLOADED) when too many hard cases wait."""
        if not wish.narrowed:
            try:
                return plan_session(wish, allow, self.ceilings, FAST)
            except Undetermined:
                pass
        if self._running[actor.actor_id] >= PER_ACTOR or self._running.total() >= WAITING:
            raise Outage(Reason.OVERLOADED, "too many intents with wildcards are being proven: ask again in a second")
        self._running[actor.actor_id] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, plan_session, wish, allow, self.ceilings, EXACT)
        finally:
            self._running[actor.actor_id] -= 1
            self._running += Counter()  # drops actors that have none running

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
