"""Canaries: sessions that a batch denies together with the others, so that it is seen when AWS obeys."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remit_server.application.ports import Clock, Entropy
from remit_server.application.revocation.lines import CANARY_PREFIX, Line
from remit_server.application.revocation.ports import Canary, CanarySession, DenyOutbox
from remit_server.domain.revocation import DenyTag
from remit_server.domain.task import opaque_id

OPEN_SECONDS: Final = 2.0  # how long a write waits for its canaries
MOST_WATCHES: Final = 16
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watched:
    """A canary for each policy that a batch changes, by its place."""

    sessions: dict[int, CanarySession]

    def lines(self, policies: int) -> list[Line | None]:
        """Returns the line that denies the canary of each policy."""
        tags = [self.sessions[place].tag if place in self.sessions else None for place in range(policies)]
        return [None if tag is None else Line(DenyTag.GRANT, tag) for tag in tags]


@dataclass(slots=True)
class Canaries:
    """Opens canaries for a batch and watches until AWS refuses them; without a `canary` there are none."""

    canary: Canary | None
    outbox: DenyOutbox
    clock: Clock
    entropy: Entropy
    holder: str
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _watches: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def watches(self) -> int:
        """How many batches are watched now."""
        return len(self._watches)

    async def open(self, account: str, places: Sequence[int]) -> Watched | None:
        """Returns a canary for each of these policies, or None when that does not go quickly: denying comes first."""
        if self.canary is None or len(self._watches) >= MOST_WATCHES:
            return None
        tags = [f"{CANARY_PREFIX}{opaque_id(self.entropy(17))}" for _ in places]
        tasks = [asyncio.ensure_future(self.canary.open(account, tag)) for tag in tags]
        try:
            await asyncio.wait(tasks, timeout=OPEN_SECONDS)
        finally:
            for task in tasks:
                task.cancel()  # those that are done have their outcome
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        sessions = {
            place: found for place, found in zip(places, outcomes, strict=True) if isinstance(found, CanarySession)
        }
        watched = Watched(sessions)
        if len(sessions) == len(places):
            return watched
        self.drop(watched)
        return None

    def drop(self, watched: Watched | None) -> None:
        """Forgets canaries that nobody will watch."""
        if self.canary is not None and watched is not None:
            for session in watched.sessions.values():
                self.canary.close(session)

    def watch(self, watched: Watched, numbers: Sequence[int], bound: timedelta) -> None:
        """Watches in the background; once every canary is refused, these denies are OBSERVED."""
        if not numbers:
            self.drop(watched)
            return
        task = asyncio.create_task(self._watching(watched, numbers, bound), name="watch of canaries")
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def close(self) -> None:
        """Ends the watches; what was not observed by now stays assumed."""
        watches = list(self._watches)
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _watching(self, watched: Watched, numbers: Sequence[int], bound: timedelta) -> None:
        [account] = {session.account for session in watched.sessions.values()}
        try:
            async with asyncio.timeout(bound.total_seconds()):
                await asyncio.gather(*map(self._until_refused, watched.sessions.values()))
            await self.outbox.observed(account, self.holder, numbers, self.clock.now())
        except TimeoutError:
            _log.warning(
                "AWS account %s: a canary is not refused %.0f s after the revocation policies were written; see that "
                "they are attached to its role (remit-server aws doctor)",
                account,
                bound.total_seconds(),
            )
        except Exception:  # noqa: BLE001 - whatever it is: the denies stay assumed
            _log.exception("AWS account %s: what the canaries showed could not be recorded", account)
        finally:
            self.drop(watched)

    async def _until_refused(self, session: CanarySession) -> None:
        """Returns once AWS refuses the canary."""
        pause = _FIRST_PAUSE_SECONDS
        while self.canary is not None and not await self.canary.is_refused(session):
            await self.pause(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
