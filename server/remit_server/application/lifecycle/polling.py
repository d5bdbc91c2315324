"""Follows what happens by asking for it again and again."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from remit_server.application.lifecycle.ports import Signal, Signals
from remit_server.domain.errors import Outage

POLL_EVERY = timedelta(seconds=0.25)
WAIT_AFTER_AN_OUTAGE = timedelta(seconds=1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Polling:
    """Asks a few times a second (`Follow`): one cheap question of each process, however many are watched."""

    signals: Signals
    every: timedelta = POLL_EVERY

    async def __call__(self) -> AsyncGenerator[Sequence[Signal], None]:
        """Yields the signals in their order."""
        sequence: int | None = None
        while True:
            try:
                if sequence is None:
                    sequence = await self.signals.latest()
                found = await self.signals.since(sequence)
            except Outage as outage:
                _log.warning("what happens to tasks cannot be followed now: %s", outage.message)
                await asyncio.sleep(WAIT_AFTER_AN_OUTAGE.total_seconds())
                continue
            if found:
                sequence = found[-1].sequence
                yield found
            else:
                await asyncio.sleep(self.every.total_seconds())
