"""Has a candidate decide beside the active revision on live traffic: after the answer, apart, and only counted."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remit_server.application.issuing.hearing import Case
from remit_server.application.planning.plan_session import Plan
from remit_server.application.policy.deciding.observed import decided_of
from remit_server.application.policy.ports import RecordedDecision, Revisions, ShadowCounting
from remit_server.application.policy.replaying.ports import OpenReplays, Replays
from remit_server.application.policy.shadowing.shadow_tally import ShadowTally
from remit_server.domain.decision import KeptText
from remit_server.domain.errors import Denied, RemitError

MOST_WAITING: Final = 512
BATCH: Final = 16
LOOKS_EVERY: Final = timedelta(seconds=2)
AGAIN_AFTER: Final = timedelta(seconds=30)  # when the candidate could not be started, or was lost
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Shadowing:
    """Runs in every process of every gateway. What it is handed waits in a bounded queue; past that it is only counted.

    NOTE: nothing of it is awaited by a live call, and nothing it raises reaches one.
    """

    counting: ShadowCounting
    revisions: Revisions
    open_replays: OpenReplays
    ceilings: KeptText
    looks_every: timedelta = LOOKS_EVERY
    most_waiting: int = MOST_WAITING
    _candidate: str = field(default="", init=False)
    _refused: str = field(default="", init=False)
    _tally: ShadowTally = field(default_factory=ShadowTally, init=False)
    _waiting: "asyncio.Queue[RecordedDecision]" = field(init=False)

    def __post_init__(self) -> None:
        self._waiting = asyncio.Queue(self.most_waiting)

    @property
    def decides_by(self) -> str:
        """The candidate that decides here, empty for none: for operators and tests."""
        return self._candidate

    @property
    def waits(self) -> int:
        """How many decisions wait for it."""
        return self._waiting.qsize()

    def __call__(self, case: Case, outcome: Plan | Exception) -> None:
        """Takes a live decision that was answered, where a candidate is in shadow; never waits and never raises."""
        if not self._candidate:
            return
        try:
            decided = decided_of(case, outcome)
            if decided is None:
                return
            try:
                self._waiting.put_nowait(decided)
            except asyncio.QueueFull:
                self._tally.drop(decided)
        except Exception:  # noqa: BLE001 - the caller is answered already
            _log.exception("a decision could not be handed to the candidate in shadow")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks for a candidate, and has it decide, until the block ends."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            pause, wanted = self.looks_every, ""
            try:
                wanted = await self.counting.candidate()
                if wanted and wanted != self._refused:
                    await self._shadow(wanted)
            except Denied as refused:
                self._refused = wanted
                _log.warning("the candidate in shadow may not decide", extra={"cause": refused.message})
            except RemitError as outage:
                _log.warning("no candidate can be had in shadow now", extra={"cause": outage.message})
                pause = AGAIN_AFTER
            except Exception:  # noqa: BLE001 - agents' calls go on without a shadow
                _log.exception("the shadow was lost, and is tried again")
                pause = AGAIN_AFTER
            await asyncio.sleep(pause.total_seconds())

    async def _shadow(self, wanted: str) -> None:
        """Has a candidate decide for as long as it is the one in shadow; raises what starting and replaying raise."""
        archive = await self.revisions.archive(wanted)
        if archive is None:
            return
        async with self.open_replays(archive, given=self.ceilings) as replays:
            judging = asyncio.create_task(self._judge(replays))
            self._candidate = wanted
            try:
                while not judging.done() and await self._is_wanted(wanted):
                    await asyncio.wait((judging,), timeout=self.looks_every.total_seconds())
                    await self._flush(wanted)
            finally:
                self._candidate = ""
                judging.cancel()
                await asyncio.gather(judging, return_exceptions=True)
                while not self._waiting.empty():
                    self._tally.drop(self._waiting.get_nowait())
                await self._flush(wanted)
        if judging.done() and not judging.cancelled():
            await judging

    async def _is_wanted(self, revision: str) -> bool:
        """Says whether a candidate is still the one in shadow; while that cannot be read, it is."""
        try:
            return await self.counting.candidate() == revision
        except RemitError:
            return True

    async def _judge(self, replays: Replays) -> None:
        """Replays what comes, a few at a time."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                replayed = await replays(batch)
            except BaseException:
                for decided in batch:
                    self._tally.drop(decided)
                raise
            for decided, one in zip(batch, replayed, strict=True):
                self._tally.add(decided, one)

    async def _flush(self, candidate: str) -> None:
        """Writes what was counted; what cannot be written now is kept for the next time."""
        counts = self._tally.counts
        if not counts:
            return
        try:
            await self.counting.add(candidate, counts)
        except RemitError as outage:
            _log.warning("what was counted of the shadow could not be written", extra={"cause": outage.message})
        else:
            self._tally.clear(counts)
