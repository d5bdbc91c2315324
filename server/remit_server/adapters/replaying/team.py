"""The workers of a replay: so many, each on a batch of its own; who is lost is replaced, and what killed it is told."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.replaying.process import ReplayerLost, ReplayProcess
from remit_server.application.policy.ports import RecordedDecision
from remit_server.application.policy.replaying.differences import Difference, Finding
from remit_server.application.policy.replaying.replaying_one import Replayed, Verdict
from remit_server.domain.decision import KeptText
from remit_server.domain.errors import Denied, Outage, Reason

MOST_JOBS: Final = 64
_TRIES: Final = 2  # of an input that is replayed alone: a worker may be lost by no fault of its
_KILLED: Final = Replayed(
    Verdict.FAILED,
    (Finding(Difference.FAILED, reasons=("it kills or stalls whoever replays it: live, this would be an outage",)),),
)


@dataclass(slots=True)
class ReplayTeam:
    """Replays on one candidate in processes of their own."""

    archive: bytes
    jobs: int
    is_nice: bool
    _idle: "asyncio.Queue[ReplayProcess]" = field(default_factory=asyncio.Queue)
    _alive: set[ReplayProcess] = field(default_factory=set)
    _ceilings: dict[str, str] = field(default_factory=dict)
    _candidate: str = ""
    _closed: bool = False

    @property
    def candidate(self) -> str:
        """The digest of the candidate's files."""
        return self._candidate

    @property
    def at_once(self) -> int:
        """How many batches are worked on at a time."""
        return self.jobs

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of the workers alive: for operators and tests."""
        return frozenset(worker.pid for worker in self._alive)

    def know(self, digest: str, ceilings: KeptText, /) -> None:
        """Makes ceilings known that records name so; under the empty name they stand for all."""
        self._ceilings[digest] = ceilings.text

    async def start(self) -> None:
        """Starts every worker; raises BundleRefused for a candidate that may not decide, ReplayerLost."""
        started = await asyncio.gather(*(self._started() for _ in range(self.jobs)), return_exceptions=True)
        for outcome in started:
            if isinstance(outcome, BaseException):
                raise outcome
            self._candidate = outcome.candidate
            self._idle.put_nowait(outcome)

    async def __call__(self, batch: Sequence[RecordedDecision], /) -> Sequence[Replayed]:
        """Returns the replay of each; raises Outage when no worker can be started any more."""
        if not batch:
            return ()
        for _ in range(_TRIES if len(batch) == 1 else 1):
            with contextlib.suppress(ReplayerLost):
                return await self._by_one(batch)
        if len(batch) == 1:
            return (_KILLED,)
        # One of them did it: each alone, so that the others are replayed.
        return [replayed for one in batch for replayed in await self([one])]

    async def close(self) -> None:
        """Ends every process."""
        self._closed = True
        await asyncio.gather(*(worker.close() for worker in tuple(self._alive)))
        self._alive.clear()

    async def _by_one(self, batch: Sequence[RecordedDecision]) -> Sequence[Replayed]:
        """Has the next free worker replay a batch; raises ReplayerLost, once another one stands in its place.

        A caller that goes away ends the worker with what it is at: whoever cancels one batch gives up the replay.
        """
        worker = await self._idle.get()
        try:
            replays = await worker.replays(batch, self._ceilings)
        except ReplayerLost:
            await asyncio.shield(self._replaced(worker))
            raise
        except BaseException:
            self._alive.discard(worker)
            await asyncio.shield(worker.close())
            raise
        self._idle.put_nowait(worker)
        return replays

    async def _replaced(self, lost: ReplayProcess) -> None:
        self._alive.discard(lost)
        await lost.close()
        try:
            self._idle.put_nowait(await self._started())
        except (ReplayerLost, BundleRefused, OSError) as failed:
            message = "no worker for the replay can be started any more: is the machine out of memory?"
            raise Outage(Reason.OVERLOADED, message) from failed

    async def _started(self) -> ReplayProcess:
        worker = await ReplayProcess.start(self.archive, is_nice=self.is_nice)
        if self._closed:  # while it started
            await worker.close()
            raise ReplayerLost("the replay is over")
        self._alive.add(worker)
        return worker


@dataclass(frozen=True, slots=True)
class OpenTeam:
    """Starts a team for a candidate. `is_nice` gives way to whatever else the machine does."""

    jobs: int = 1
    is_nice: bool = False

    @asynccontextmanager
    async def __call__(self, archive: bytes, /, *, given: KeptText | None = None) -> AsyncIterator[ReplayTeam]:
        """Gives the team while the block runs.

        Raises Denied(REVISION_REFUSED) for a candidate that may not decide, Outage where nothing can be started.
        """
        team = ReplayTeam(archive, min(max(self.jobs, 1), MOST_JOBS), self.is_nice)
        if given is not None:
            team.know("", given)
        try:
            try:
                await team.start()
            except BundleRefused as refused:
                faults = "; ".join(str(one) for one in refused.findings[:5])
                raise Denied(Reason.REVISION_REFUSED, f"the candidate may not decide: {faults}") from refused
            except (ReplayerLost, OSError) as lost:
                raise Outage(Reason.OVERLOADED, "no worker for the replay could be started") from lost
            yield team
        finally:
            with contextlib.suppress(OSError):
                await team.close()


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
