"""The door: who is calling, and whether they have calls left."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit_server.application.ports import Authenticate, Clock, Ledger
from remit_server.domain.audit import CallersRejected
from remit_server.domain.errors import Outage, Reason, told_of
from remit_server.domain.identity import Actor, Caller

MAX_COUNTED = 1024
MAX_BUDGETS = 10_000


@dataclass(slots=True)
class Budget:
    """A token bucket per actor: `per_minute` calls a minute, all of which may come at once. Remembers 10,000 actors."""

    clock: Clock
    per_minute: int
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def spend(self, actor: Actor) -> None:
        """Takes one call from the actor's budget; raises Outage(RATE_LIMITED) when none is left."""
        now = self.clock.monotonic()
        left, since = self._left.pop(actor.actor_id, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - since) * self.per_minute / 60)
        allowed = left >= 1
        self._left[actor.actor_id] = (left - 1 if allowed else left, now)
        if len(self._left) > MAX_BUDGETS:
            self._left.popitem(last=False)
        if not allowed:
            wait = timedelta(seconds=(1 - left) * 60 / self.per_minute)
            raise Outage(
                Reason.RATE_LIMITED,
                f"this agent has used its {self.per_minute} calls a minute: wait {wait.total_seconds():.0f} s",
                retry_after=wait,
            )


@dataclass(slots=True)
class Rejections:
    """Counts calls that fail before their actor is known, so that no stranger can fill the audit trail."""

    ledger: Ledger
    clock: Clock
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _since: datetime | None = None

    def count(self, peer: str, reason: Reason) -> None:
        """Counts one call; past 1,024 different peers the rest share one entry."""
        if self._since is None:
            self._since = self.clock.now()
        key = (peer, reason.value)
        if key not in self._counts and len(self._counts) >= MAX_COUNTED:
            key = ("others", reason.value)
        self._counts[key] += 1

    async def write(self) -> None:
        """Writes one aggregate record per peer and reason and starts to count again; what cannot be written is kept."""
        if self._since is None:
            return
        counts, since = self._counts, self._since
        self._counts, self._since = Counter(), None
        written: set[tuple[str, str]] = set()
        try:
            for (peer, reason), count in sorted(counts.items()):
                await self.ledger.record(CallersRejected(peer, reason, count, since))
                written.add((peer, reason))
        finally:
            for key in counts.keys() - written:
                self._counts[key] += counts[key]
                self._since = since


@dataclass(frozen=True, slots=True)
class Admission:
    """Authenticates the caller before anything else is looked at."""

    authenticate: Authenticate
    rejections: Rejections

    async def __call__(self, caller: Caller, budget: Budget) -> Actor:
        """Returns the actor after taking one call from its budget.

        Raises Denied(ACTOR_REJECTED), Outage(ISSUER_UNAVAILABLE) or Outage(RATE_LIMITED), each counted.
        """
        try:
            actor = await self.authenticate(caller)
            budget.spend(actor)
        except Exception as error:
            self.rejections.count(caller.peer, told_of(error).reason)
            raise
        return actor
