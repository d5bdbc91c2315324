"""Runs a replay over a history: many batches at a time, gathered in the order of their records."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from remit_server.application.policy.ports import History, RecordedDecision, Span
from remit_server.application.policy.replaying.gathering import Gathering
from remit_server.application.policy.replaying.ports import Replays
from remit_server.application.policy.replaying.replaying_one import Replayed
from remit_server.application.policy.replaying.report import Report

BATCH: Final = 32
_AHEAD: Final = 3  # batches that wait for each one that is worked on: more only takes memory


@dataclass(frozen=True, slots=True)
class Progress:
    """How many records of the span have been dealt with, of how many, and how many decisions were among them.

    None where that is not told.
    """

    done: int
    total: int
    decisions: int | None


@dataclass(slots=True)
class _Batch:
    """A batch under way."""

    through: int
    decisions: Sequence[RecordedDecision]
    replays: "asyncio.Task[Sequence[Replayed]]"


@dataclass(slots=True)
class Run:
    """One replay. Memory holds a few batches and the groups of the report, however long the history is."""

    history: History
    replays: Replays
    given_ceilings: bool = False
    _under_way: deque[_Batch] = field(default_factory=deque)
    _asked_for: set[str] = field(default_factory=set)

    async def __call__(self, since: datetime, *, most: int) -> AsyncGenerator[Progress | Report, None]:
        """Yields progress, and at last the report; raises Outage where the history cannot be read."""
        span = await self.history.span(since, most=most)
        gathering = Gathering(self.replays.candidate, since, self.given_ceilings)
        if span is None:
            yield gathering.report(None)
            return
        decisions = 0
        try:
            async with aclosing(self._batches(span)) as batches:
                async for batch in batches:
                    for recorded, replayed in zip(batch.decisions, await batch.replays, strict=True):
                        gathering.add(recorded, replayed)
                    decisions += len(batch.decisions)
                    yield Progress(batch.through - span.first + 1, span.records, decisions)
        finally:
            for left in self._under_way:
                left.replays.cancel()
            await asyncio.gather(*(left.replays for left in self._under_way), return_exceptions=True)
        yield gathering.report(span)

    async def _batches(self, span: Span) -> AsyncGenerator[_Batch, None]:
        """Yields batches in their order, each begun well before its turn, and no more of them than are needed."""
        async for page in self.history.decisions(span):
            await self._learn_ceilings(page.decisions)
            for through, decisions in _split(page.through, page.decisions):
                if len(self._under_way) >= self.replays.at_once * _AHEAD:
                    yield self._under_way.popleft()
                task = asyncio.ensure_future(self.replays(decisions))
                self._under_way.append(_Batch(through, decisions, task))
        while self._under_way:
            yield self._under_way.popleft()

    async def _learn_ceilings(self, decisions: Sequence[RecordedDecision]) -> None:
        """Has the ceilings known that these decisions were made under, once each."""
        if self.given_ceilings:
            return
        for digest in dict.fromkeys(one.ceiling_digest for one in decisions):
            if digest and digest not in self._asked_for:
                self._asked_for.add(digest)
                if (ceilings := await self.history.ceilings(digest)) is not None:
                    self.replays.know(digest, ceilings)


def _split(through: int, decisions: Sequence[RecordedDecision]) -> Iterator[tuple[int, Sequence[RecordedDecision]]]:
    """Yields batches of a page, each with the record that it reaches to; the last one reaches to the page's end."""
    for place in range(0, max(len(decisions), 1), BATCH):
        batch = decisions[place : place + BATCH]
        is_last = place + BATCH >= len(decisions)
        yield (through if is_last else batch[-1].sequence), batch
