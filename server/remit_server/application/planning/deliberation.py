"""Where planning runs: on the event loop while it is quick, beside it when the exact path is needed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from remit_server.application.issuing.flights import Flights
from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import EXACT, FAST
from remit_server.application.planning.drafting import Undetermined
from remit_server.application.planning.plan_session import Plan, Planner, Wish
from remit_server.application.planning.standing import recorded_policy, still_within
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Actor
from remit_server.domain.permission import Permission, as_permissions, is_within

T = TypeVar("T")
THREADS = 2
WAITING_PER_ACTOR = 8
WAITING = 64
SMALL_PAIRS, SMALL_CHARACTERS, SMALL_WILDCARDS = 24, 1536, 48


@dataclass(slots=True)
class Deliberation:
    """Plans sessions. What may take long runs in one of two threads, one call of an actor at a time."""

    ceilings: Ceilings
    _plan: Planner = field(init=False)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="exact-path")
    )
    _turns: Flights = field(default_factory=Flights)
    _waiting: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._plan = Planner(self.ceilings)

    async def __call__(self, wish: Wish, allow: Allow, actor: Actor) -> Plan:
        """Returns the plan; raises what `Planner` raises, or Outage(OVERLOADED) when too many hard cases wait."""
        if (plan := _at_once(self._plan, wish, allow)) is not None:
            return plan
        return await self.beside_the_loop(actor.actor_id, self._plan, wish, allow, EXACT)

    async def again(self, grant: Grant, actor: Actor, above: GrantAbove | None = None) -> None:
        """Proves the policy of a live grant on today's ceilings and the grant above, so that STS may get it again.

        Most repeats are proven at once, however many come together; those that are hard wait for their turn. Raises
        what `still_within` raises, or Outage(OVERLOADED) when too many hard cases wait.
        """
        document = recorded_policy(grant)
        if is_small(as_permissions(document)):
            try:
                return still_within(document, grant.role_arn, self.ceilings, FAST, above)
            except Undetermined:
                pass
        return await self.beside_the_loop(
            actor.actor_id, still_within, document, grant.role_arn, self.ceilings, EXACT, above
        )

    async def beside_the_loop(self, actor_id: str, work: Callable[..., T], *values: object) -> T:
        """Returns what the work returns, done in a thread when it is the actor's turn.

        Raises what the work raises, or Outage(OVERLOADED) when too many wait.
        """
        if self._waiting[actor_id] >= WAITING_PER_ACTOR or self._waiting.total() >= WAITING:
            raise Outage(Reason.OVERLOADED, "too many intents with wildcards are being proven: ask again in a second")
        self._waiting[actor_id] += 1
        try:
            async with self._turns(actor_id, "planning"):
                return await _finished(self._threads.submit(work, *values))
        finally:
            self._waiting[actor_id] -= 1
            self._waiting += Counter()  # drops actors that have none waiting

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def planned_as_live(planner: Planner, wish: Wish, allow: Allow) -> Plan:
    """Returns the plan that a live call gets, whichever path that takes; raises what `Planner` raises."""
    return _at_once(planner, wish, allow) or planner(wish, allow, EXACT)


def _at_once(planner: Planner, wish: Wish, allow: Allow) -> Plan | None:
    """Returns the plan where it is quick; None where the exact path has to look.

    NOTE: the two may choose other entitlements, so what is decided again must take the same one.
    """
    if wish.narrowed or not is_small(wish.permissions):
        return None
    try:
        return planner(wish, allow, FAST)
    except Undetermined:
        return None


async def _finished(work: Future[T]) -> T:
    """Returns the outcome of a thread's work; when the caller hangs up, waits for its end all the same."""
    try:
        return await asyncio.wrap_future(work)
    except asyncio.CancelledError:
        # NOTE: a thread cannot be interrupted. Until it is done it is this actor's turn: who calls and hangs up, again
        # and again, would else have every thread.
        if not work.cancel():
            await asyncio.gather(asyncio.wrap_future(work), return_exceptions=True)
        raise


def is_small(permissions: Sequence[Permission]) -> bool:
    """Says whether planning is a matter of a few milliseconds at the most, whatever the patterns are."""
    pairs = sum(len(item.actions) * len(item.resources) for item in permissions)
    return pairs <= SMALL_PAIRS and is_within(permissions, characters=SMALL_CHARACTERS, wildcards=SMALL_WILDCARDS)
