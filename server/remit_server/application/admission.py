"""The door: who is calling, whether they have calls left, and whether what they say can be read."""

from collections import Counter, OrderedDict
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from remit_server.application.ports import Authenticate, Clock, Ledger
from remit_server.domain.audit import CallersRejected, RequestRefused, Who
from remit_server.domain.errors import InvalidRequest, Outage, Reason, told_of
from remit_server.domain.identity import Admitted, Caller, Delegation

MAX_COUNTED = 1024
MAX_BUDGETS = 10_000


@dataclass(slots=True)
class Budget:
    """A token bucket per caller: `per_minute` calls a minute, all of which may come at once. Remembers 10,000 callers.

    `who` is what its refusals call a caller.
    """

    clock: Clock
    per_minute: int
    who: str = "agent"
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def spend(self, caller_id: str) -> None:
        """Takes one call from the caller's budget; raises Outage(RATE_LIMITED) when none is left."""
        now = self.clock.monotonic()
        left, since = self._left.pop(caller_id, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - since) * self.per_minute / 60)
        allowed = left >= 1
        self._left[caller_id] = (left - 1 if allowed else left, now)
        if len(self._left) > MAX_BUDGETS:
            self._left.popitem(last=False)
        if not allowed:
            wait = timedelta(seconds=(1 - left) * 60 / self.per_minute)
            raise Outage(
                Reason.RATE_LIMITED,
                f"this {self.who} has used its {self.per_minute} calls a minute: wait {wait.total_seconds():.0f} s",
                retry_after=wait,
            )


@dataclass(frozen=True, slots=True)
class SubjectBudget:
    """Budgets of users within their agents': an agent that one user keeps busy has calls left for the others."""

    budget: Budget

    def __call__(self, delegation: Delegation) -> None:
        """Takes one call from the user's part of the agent's; raises Outage(RATE_LIMITED) when none is left."""
        subject = delegation.subject
        # NOTE: none of the three holds a line break, so that no two users share a budget.
        self.budget.spend(f"{delegation.actor.actor_id}\n{subject.issuer}\n{subject.subject}")


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


@dataclass(slots=True)
class Places:
    """How many calls of one caller run at a time: none, however busy, takes all the places of the others."""

    per_actor: int
    what: str = "calls"
    who: str = "agent"
    _taken: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def __call__(self, caller_id: str) -> Iterator[None]:
        """Holds one of the caller's places while the block runs; raises Outage(OVERLOADED) when none is free."""
        self.take(caller_id)
        try:
            yield
        finally:
            self.give_back(caller_id)

    def take(self, caller_id: str) -> None:
        """Takes one of the caller's places; raises Outage(OVERLOADED) when none is free."""
        taken = self._taken.get(caller_id, 0)
        if taken >= self.per_actor:
            message = f"{self.per_actor} {self.what} of this {self.who} are running: wait until one of them is over"
            raise Outage(Reason.OVERLOADED, message, retry_after=timedelta(seconds=1))
        self._taken[caller_id] = taken + 1

    def give_back(self, caller_id: str) -> None:
        """Frees one of the caller's places."""
        left = self._taken[caller_id] - 1
        if left:
            self._taken[caller_id] = left
        else:
            del self._taken[caller_id]


@dataclass(frozen=True, slots=True)
class Admission:
    """Lets callers in before anything they send is looked at. `budgets` are by the name of the method."""

    authenticate: Authenticate
    rejections: Rejections
    ledger: Ledger
    budgets: Mapping[str, Budget]
    places: Places

    def __call__(self, caller: Caller, method: str) -> AbstractAsyncContextManager[Admitted]:
        """Admits the caller for the time of the block, for one call of its budget and one of its places.

        Raises Denied(ACTOR_REJECTED), Outage(ISSUER_UNAVAILABLE), Outage(RATE_LIMITED) or Outage(OVERLOADED), each
        counted.
        """
        return _Stay(self, caller, method)

    def reading(self, admitted: Admitted, method: str) -> AbstractAsyncContextManager[None]:
        """Puts on record that an admitted caller sent what the block cannot read: it raises InvalidRequest."""
        return _Reading(self.ledger, admitted, method)


# NOTE: these two are written out, and not as generators, because each call goes through them.
@dataclass(slots=True)
class _Stay:
    """One call of a caller, from the door to its end."""

    admission: Admission
    caller: Caller
    method: str
    actor_id: str = ""

    def __aenter__(self) -> Coroutine[Any, Any, Admitted]:
        return _let_in(self)

    def __aexit__(self, *_: object) -> Coroutine[Any, Any, None]:
        return _let_out(self)


async def _let_in(stay: _Stay) -> Admitted:
    """Lets the caller in; nothing is held when that fails."""
    admission, caller = stay.admission, stay.caller
    try:
        actor = await admission.authenticate(caller)
        admission.budgets[stay.method].spend(actor.actor_id)
        admission.places.take(actor.actor_id)
    except Exception as error:
        admission.rejections.count(caller.peer, told_of(error).reason)
        raise
    stay.actor_id = actor.actor_id
    return Admitted(actor, caller.peer)


async def _let_out(stay: _Stay) -> None:
    """Frees the caller's place."""
    stay.admission.places.give_back(stay.actor_id)


@dataclass(slots=True)
class _Reading:
    """The reading of what a caller sent."""

    ledger: Ledger
    admitted: Admitted
    method: str

    async def __aenter__(self) -> None:
        """Has nothing to prepare."""

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InvalidRequest):
            who = Who(actor_id=self.admitted.actor.actor_id, peer=self.admitted.peer)
            record = RequestRefused(who, "", self.method, error.reason.value, error.message)
            await self.ledger.refuse(None, None, record)
