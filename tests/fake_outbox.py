"""An outbox of denies and an AWS that takes policies, in memory.

Why not the real ones: a test of the writer has to lose leases, answers and races at chosen moments. The ledger's own
outbox and AWS are tested where they are real (tests/adapters, tests/integration).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace

from tests.fakes import FakeClock
from tests.revocation_world import ACCOUNT, Session, is_denied

from remit_server.application.ports import Clock
from remit_server.application.revocation.ports import CanarySession, NotWritten
from remit_server.application.revocation.texts import mark_of_ledger, policy_text
from remit_server.domain.revocation import SessionDeny

MARK = mark_of_ledger("a ledger")


@dataclass
class FakeOutbox:
    """Implements `DenyOutbox` for one account."""

    clock: Clock
    denies: dict[int, SessionDeny] = field(default_factory=dict)
    living: dict[str | None, datetime] = field(default_factory=dict)
    holders: dict[str, tuple[str, float]] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    failing: Callable[[str], None] = lambda _: None
    mark: str = MARK

    def want(self, *denies: SessionDeny) -> None:
        self.denies.update({deny.number: deny for deny in denies})

    def told(self, kind: str) -> list[tuple[object, ...]]:
        return [call[1:] for call in self.calls if call[0] == kind]

    async def accounts(self) -> Sequence[str]:
        self.failing("accounts")
        return [ACCOUNT] if self.denies else []

    async def hold(self, account: str, holder: str, seconds: float) -> bool:
        other, until = self.holders.get(account, (holder, 0.0))
        if other != holder and until > self.clock.monotonic():
            return False
        self.holders[account] = (holder, self.clock.monotonic() + seconds)
        return True

    async def wanted(self, account: str, now: datetime) -> Sequence[SessionDeny]:
        assert account == ACCOUNT
        return [deny for _, deny in sorted(self.denies.items()) if now <= deny.covers_until]

    async def earliest_live(self, account: str, subject: str | None) -> datetime | None:
        self.calls.append(("earliest_live", account, subject))
        return self.living.get(subject)

    async def denied(
        self, account: str, holder: str, numbers: Sequence[int], write_time: datetime, assumed_by: datetime
    ) -> None:
        self.failing("denied")
        self.calls.append(("denied", account, holder, tuple(numbers), write_time, assumed_by))
        self.denies.update({number: replace(self.denies[number], written=True) for number in numbers})

    async def observed(self, account: str, holder: str, numbers: Sequence[int], effective_time: datetime) -> None:
        self.calls.append(("observed", account, holder, tuple(numbers), effective_time))

    async def no_room(self, account: str, holder: str, numbers: Sequence[int]) -> None:
        self.calls.append(("no_room", account, holder, tuple(numbers)))

    async def identity(self) -> str:
        return self.mark

    async def foreign(self, account: str, holder: str, policy: str, mark: str) -> None:
        self.calls.append(("foreign", account, holder, policy, mark))

    async def changed(self, account: str, holder: str, policy: str) -> None:
        self.calls.append(("changed", account, holder, policy))

    async def dropped(self, account: str, holder: str, before: datetime) -> None:
        self.calls.append(("dropped", account, holder, before))
        self.denies = {number: deny for number, deny in self.denies.items() if deny.covers_until >= before}


@dataclass
class FakeAws:
    """Implements `RevocationPolicies` and `Canary`; sessions are refused `delay` after the text was written."""

    clock: FakeClock
    delay: timedelta = timedelta(seconds=3)
    missing: set[int] = field(default_factory=set)
    texts: list[str] = field(default_factory=lambda: [policy_text([], MARK)] * 4)
    log: list[tuple[object, ...]] = field(default_factory=list)
    failing: Callable[[str, int], None] = lambda _, __: None
    has_canaries: bool = True
    open_canaries: set[int] = field(default_factory=set)
    in_force: list[tuple[datetime, tuple[str, ...]]] = field(default_factory=list)

    def name(self, account: str, place: int, /) -> str:
        return f"{account}/{place + 1}"

    async def read(self, account: str, /, *, deadline: float) -> tuple[str | None, ...]:
        assert deadline > self.clock.monotonic()
        self.log.append(("read", account))
        return tuple(None if place in self.missing else text for place, text in enumerate(self.texts))

    async def write(self, account: str, place: int, text: str, /, *, deadline: float) -> None:
        assert account == ACCOUNT
        assert deadline > self.clock.monotonic()
        self.log.append(("write", place))
        if place in self.missing:
            raise NotWritten("NoSuchEntity")
        self.failing("before", place)
        await asyncio.sleep(0)
        self.texts[place] = text
        self.in_force.append((self.clock.now() + self.delay, tuple(self.texts)))
        self.failing("after", place)

    async def tidy(self, account: str, place: int, /, *, deadline: float) -> None:
        assert account == ACCOUNT
        assert deadline > self.clock.monotonic()
        self.log.append(("tidy", place))

    async def open(self, account: str, tag: str, /) -> CanarySession | None:
        if not self.has_canaries:
            return None
        handle = len(self.log)
        self.log.append(("canary", tag))
        self.open_canaries.add(handle)
        return CanarySession(account, tag, handle)

    async def is_refused(self, session: CanarySession, /) -> bool:
        obeyed = [texts for moment, texts in self.in_force if moment <= self.clock.now()]
        probe = SimpleNamespace(grant_tag=session.tag, by_tag="canary.canary", opened=self.clock.now())
        return bool(obeyed) and is_denied(probe, obeyed[-1])  # type: ignore[arg-type]

    def close(self, session: CanarySession, /) -> None:
        self.open_canaries.discard(session.handle)

    def writes(self) -> list[int]:
        return [int(str(place)) for kind, place in self.log if kind == "write"]

    def refuses(self, session: Session) -> bool:
        return is_denied(session, self.texts)


def once(error: Exception) -> Callable[..., None]:
    """Returns a failure that happens the first time only."""
    left = [error]

    def fail(*_: object) -> None:
        if left:
            raise left.pop()

    return fail


__all__ = ["FakeAws", "FakeOutbox", "NotWritten", "once"]
