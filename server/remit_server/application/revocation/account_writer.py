"""Keeps the revocation policies of one AWS account as the outbox wants them, while it holds the account's lease."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from remit_server.application.ports import Clock
from remit_server.application.revocation.arranging import denied_by
from remit_server.application.revocation.canaries import Canaries, Watched
from remit_server.application.revocation.lines import Line
from remit_server.application.revocation.ownership import Ownership
from remit_server.application.revocation.placing import Room
from remit_server.application.revocation.ports import DenyOutbox, LeaseLost, NotWritten, RevocationPolicies
from remit_server.application.revocation.rendering import Rendered, questions, render, unsound
from remit_server.application.revocation.texts import lines_of
from remit_server.application.revocation.waves import waves
from remit_server.domain.revocation import SessionDeny

LEASE_SECONDS: Final = 30.0
EXTEND_WITH_SECONDS: Final = 20.0  # of the lease: a turn that begins with less extends it
BEGIN_WITH_SECONDS: Final = 15.0  # of the lease: no call to IAM begins with less
CALL_SECONDS: Final = 10.0  # a call to IAM ends within them, and so before the lease does
READ_AGAIN_SECONDS: Final = 300.0
READ_SOON_SECONDS: Final = 10.0  # in the first minute after another process, which may be late with an older text
SOON_SECONDS: Final = 60.0
GAP_SECONDS: Final = 1.0  # between two versions of a policy
ALL_LIVES: Final = datetime.min.replace(tzinfo=UTC)  # before every time guard
DROP_SECONDS: Final = 60.0  # between two writes that only take lines away

_NEVER: Final = float("-inf")
_PLAN: Final = "run `remit-server aws plan` and apply what it writes"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a writer is made of. `holder` names this process; `bound` is how long AWS may take to obey."""

    outbox: DenyOutbox
    policies: RevocationPolicies
    canaries: Canaries
    clock: Clock
    holder: str
    bound: timedelta = timedelta(seconds=300)
    room: Room = field(default_factory=Room)
    unsettled_for: Callable[[], timedelta | None] = lambda: None
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class _Due:
    """What is wanted at a time, and the texts for it."""

    now: datetime
    wanted: Sequence[SessionDeny]
    rendered: Rendered


@dataclass(slots=True)
class AccountWriter:
    """One account: what AWS has of it, as far as is known, and what the outbox was told."""

    account: str
    parts: Parts
    thought: float = 0.0  # seconds that the last turn took to read and render
    _owned: Ownership = field(init=False)
    _known: list[str] | None = None
    _places: list[int] = field(default_factory=list)  # which policies exist and are ours; the others wait until they do
    _held_until: float = _NEVER
    _was_anothers: bool = False  # the lease, when it was last asked for
    _took_at: float = _NEVER  # the lease, from another process
    _read_at: float = _NEVER
    _written_at: dict[int, float] = field(default_factory=dict)
    _untidy: set[int] = field(default_factory=set)
    _unwatched: bool = False  # a write was begun that no canary vouches for
    _done: Sequence[SessionDeny] | None = None
    _told: set[int] = field(default_factory=set)
    _homeless: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Owns nothing yet."""
        self._owned = Ownership(self.account, self.parts.holder, self.parts.outbox, self.parts.policies)

    async def __call__(self) -> None:
        """Brings AWS to what is wanted, once.

        Raises NotWritten, LeaseLost, or what the ledger raises; then another turn mends whatever this one left.
        """
        due = await self._due()
        if due is None:
            return
        changed = self._changed(due.rendered)
        watched = await self._write(due.rendered, changed) if changed else None
        await self._tell(due.rendered, due.wanted, watched)
        if self._pages() != due.rendered.pages:
            return
        if changed or not due.wanted:
            await self.parts.outbox.dropped(self.account, self.parts.holder, due.now)
        if not due.rendered.left_out:
            self._done = due.wanted  # until this changes there is nothing to do

    async def _due(self) -> "_Due | None":
        """Returns what is to be written now; None when that is nothing, or another process writes.

        While a policy that changes was written less than a second ago, it waits, and looks anew: what is revoked
        meanwhile goes into the same version. A policy that is nobody's yet is read again before it is taken.
        """
        begun = self.parts.clock.monotonic()
        while True:
            if self._left() <= EXTEND_WITH_SECONDS and not await self._hold():
                return None
            again = READ_SOON_SECONDS if self._since(self._took_at) < SOON_SECONDS else READ_AGAIN_SECONDS
            if self._known is None or self._since(self._read_at) >= again:
                self._done = None
                await self._read()
            # NOTE: by a clock that is not settled nothing is over: what was taken away too soon would live again.
            now = self.parts.clock.now() if self.parts.unsettled_for() is None else ALL_LIVES
            began = self.parts.clock.monotonic()
            wanted = await self.parts.outbox.wanted(self.account, now)
            self.thought = self._since(began)
            if wanted == self._done:
                await self._tidy()
                return None
            self._done = None
            rendered = await self._rendered(wanted, now)
            self.thought = self._since(began)
            changed = self._changed(rendered)
            gap = max(
                (GAP_SECONDS - self._since(self._written_at.get(place, _NEVER)) for place in changed), default=0.0
            )
            if gap > 0:
                await self.parts.pause(gap)
            elif changed and self._owned.unmarked(self._known) and self._read_at < begun:
                await self._read()
            else:
                return _Due(now, wanted, rendered)

    @property
    def holds(self) -> bool:
        """Whether this process writes the account's policies now."""
        return self._left() > 0

    async def _hold(self) -> bool:
        """Takes or extends the lease; what is known of AWS counts only while nobody else can have written."""
        began = self.parts.clock.monotonic()
        held = await self.parts.outbox.hold(self.account, self.parts.holder, LEASE_SECONDS)
        if not held or began >= self._held_until:
            self._known = None
            self._took_at = began if held and self._was_anothers else _NEVER
            self._told.clear()
            self._homeless.clear()
        self._was_anothers = not held
        self._held_until = began + LEASE_SECONDS if held else _NEVER
        return held

    async def _deadline(self) -> float:
        """Returns until when a call to IAM may take; raises LeaseLost when it may not begin.

        NOTE: it ends before the lease does. A writer that were late would put an old text over a newer one.
        """
        if self._left() <= BEGIN_WITH_SECONDS and not await self._hold():
            raise LeaseLost(self.account)
        return min(self.parts.clock.monotonic() + CALL_SECONDS, self._held_until)

    async def _read(self) -> None:
        """Reads what is in force: somebody may have changed it, or an answer was lost.

        A policy that is missing does not keep the others from being written. Raises NotWritten when all are.
        """
        deadline = await self._deadline()
        texts = await self.parts.policies.read(self.account, deadline=deadline)
        known = dict(zip(self._places, self._known or (), strict=False))
        self._places = await self._owned.may_write(texts, known)
        self._known = [text for place, text in enumerate(texts) if text is not None and place in self._places]
        self._read_at = self.parts.clock.monotonic()
        if not self._places:
            self._known = None
            none = f"none of the revocation policies exists in {self.account}: {_PLAN}"
            raise NotWritten(self._owned.others_only() or none)
        if None in texts:
            missing = ", ".join(str(place + 1) for place, text in enumerate(texts) if text is None)
            _log.error("AWS account %s: revocation policy %s does not exist: %s", self.account, missing, _PLAN)

    async def _rendered(self, wanted: Sequence[SessionDeny], now: datetime) -> Rendered:
        """Renders off the loop, because an outbox may be long.

        NOTE: `now` is older than the answers about who lives, and while the clock is not to be relied on nothing is
        coarsened: what is opened later lives.
        """
        room = replace(self.parts.room, policies=len(self._places))
        living: dict[str | None, datetime | None] = {}
        if now != ALL_LIVES:
            for subject in await asyncio.to_thread(questions, wanted, now, room):
                living[subject] = await self.parts.outbox.earliest_live(self.account, subject)
        return replace(await asyncio.to_thread(render, wanted, now, living, room), mark=self._owned.mark)

    def _pages(self) -> tuple[frozenset[Line] | None, ...]:
        """Returns the lines at AWS, canaries excepted; None for a text that is not ours."""
        read = [lines_of(text) for text in self._known or ()]
        return tuple(None if page is None else frozenset(line for line in page if not line.is_canary) for page in read)

    def _changed(self, rendered: Rendered) -> list[int]:
        """Returns the places whose policy has to be written now.

        Lines that are over do no harm: writes that only take lines away have a minute between them.
        """
        present = self._pages()
        changed = [place for place, page in enumerate(rendered.pages) if page != present[place]]
        recent = self._since(max(self._written_at.values(), default=_NEVER)) < DROP_SECONDS
        return [] if recent and _takes_away_only(present, rendered, changed) else changed

    async def _write(self, rendered: Rendered, changed: Sequence[int]) -> Watched | None:
        """Writes these policies in an order that leaves nobody out meanwhile; returns the canaries that vouch for it.

        Raises NotWritten when AWS did not take one; then it is read anew what AWS has.
        """
        present = [page or frozenset[Line]() for page in self._pages()]
        less = _takes_away_only(present, rendered, changed)
        watched = None if less else await self.parts.canaries.open(self.account, changed)
        final = rendered if watched is None else rendered.with_canaries(watched.lines(len(rendered.pages)))
        blind, self._unwatched = self._unwatched, True
        try:
            for wave in waves(present, rendered.pages):
                await self._write_wave(final, [place for place in wave if place in changed])
            if unmarked := self._owned.unmarked(self._known):
                self._took_at = self.parts.clock.monotonic()  # another ledger may take them in this very second
                await self._write_wave(final, unmarked)
        except BaseException:
            self._known = None
            self.parts.canaries.drop(watched)
            raise
        self._unwatched = False
        if blind:
            self.parts.canaries.drop(watched)
        return None if blind else watched

    async def _write_wave(self, final: Rendered, places: Sequence[int]) -> None:
        """Writes policies side by side."""
        deadline = await self._deadline()
        self._written_at.update(dict.fromkeys(places, self.parts.clock.monotonic()))
        self._untidy.update(self._places[at] for at in places)
        outcomes = await asyncio.gather(
            *(
                self.parts.policies.write(self.account, self._places[at], final.texts[at], deadline=deadline)
                for at in places
            ),
            return_exceptions=True,
        )
        for place, outcome in zip(places, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if self._known is not None:
                self._known[place] = final.texts[place]

    async def _tell(self, rendered: Rendered, wanted: Sequence[SessionDeny], watched: Watched | None) -> None:
        """Tells the outbox what AWS has been told, and what found no room; has the canaries watched."""
        outbox, holder = self.parts.outbox, self.parts.holder
        known = {deny.number for deny in wanted if deny.written} | self._told
        untold = [number for number in rendered.told if number not in known]
        if untold:
            write_time = self.parts.clock.now()
            await outbox.denied(self.account, holder, untold, write_time, write_time + self.parts.bound)
            self._told.update(untold)
        if watched is not None:
            # NOTE: only what stands in a policy that has a canary: other lines may have been written a moment ago.
            seen = denied_by(line for place in watched.sessions for line in rendered.pages[place])
            now_told = frozenset(untold)
            vouched = [deny.number for deny in wanted if deny.number in now_told and seen(deny)]
            self.parts.canaries.watch(watched, vouched, self.parts.bound)
        homeless = [*rendered.left_out, *unsound(wanted)]
        if new := [number for number in homeless if number not in self._homeless]:
            _log.error(
                "AWS account %s: no room in the revocation policies for %d denies; their credentials live until their "
                "time guards. docs/revocation.md tells what can be done",
                self.account,
                len(new),
            )
            await outbox.no_room(self.account, holder, new)
        self._homeless = set(homeless)

    async def _tidy(self) -> None:
        """Deletes old versions while there is nothing else to do, so that the next write need not."""
        while self._untidy:
            deadline = await self._deadline()
            await self.parts.policies.tidy(self.account, min(self._untidy), deadline=deadline)
            self._untidy.remove(min(self._untidy))

    def _left(self) -> float:
        """Returns the seconds that are left of the lease."""
        return self._held_until - self.parts.clock.monotonic()

    def _since(self, moment: float) -> float:
        return self.parts.clock.monotonic() - moment


def _takes_away_only(present: Sequence[frozenset[Line] | None], rendered: Rendered, changed: Sequence[int]) -> bool:
    """Says whether the policies lose lines and gain none."""
    return all(rendered.pages[place] <= (present[place] or frozenset()) for place in changed)
