"""The housekeeping that nobody asks for: orphans, expired grants, the counts of rejected callers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remit_server.application.admission import Rejections
from remit_server.application.ports import Clock, Ledger

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Takes grants whose outcome nobody recorded, and those whose time is over.

    Writes the aggregate of rejected callers. `unsettled_for` says how long the clock cannot be relied on after a step:
    meanwhile no grant is called over, because its credentials may live on. `also` is done with each turn.
    """

    ledger: Ledger
    rejections: Rejections
    clock: Clock
    every: timedelta = timedelta(seconds=5)
    rejections_every: timedelta = timedelta(seconds=60)
    unsettled_for: Callable[[], timedelta | None] = lambda: None
    also: Sequence[Callable[[datetime], Awaitable[int]]] = ()

    async def __call__(self) -> None:
        """Runs until it is cancelled; an outage is logged and tried again at the next turn."""
        written = self.clock.monotonic()
        while True:
            await asyncio.sleep(self.every.total_seconds())
            try:
                now = self.clock.now()
                if self.unsettled_for() is None:
                    await self.ledger.sweep(now)
                    for sweep in self.also:
                        await sweep(now)
                if self.clock.monotonic() - written >= self.rejections_every.total_seconds():
                    written = self.clock.monotonic()
                    await self.rejections.write()
            except Exception:  # noqa: BLE001 - whatever it is: nobody else looks for orphans
                _log.exception("the sweep could not be recorded; trying again")
