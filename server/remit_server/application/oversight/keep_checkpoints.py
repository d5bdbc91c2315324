"""Keeps signed checkpoints of the audit chain elsewhere, from one process of all."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from remit_server.application.ports import Clock
from remit_server.domain.checkpoint import Checkpoint
from remit_server.domain.errors import Outage

NAME: Final = "audit-checkpoints"
LOOK_EVERY: Final = timedelta(seconds=5)
_HELD_FOR: Final = 20.0  # seconds; several looks
_log = logging.getLogger(__name__)


class Undelivered(Exception):  # noqa: N818 - named for what it says
    """The checkpoint is not where it is to be kept; says why."""


class Tip(Protocol):
    """Knows where the chain ends."""

    async def __call__(self) -> tuple[int, str]:
        """Returns how many records there are and the hash of the last; raises Outage."""
        ...


class Keep(Protocol):
    """Signs a checkpoint and puts it where it is kept."""

    async def __call__(self, checkpoint: Checkpoint, /) -> None:
        """Returns once it is kept; raises Undelivered."""
        ...


@dataclass(slots=True)
class KeepCheckpoints:
    """Has a checkpoint kept each `every`, and each `every_records` records, while there is anything new."""

    tip: Tip
    keep: Keep
    hold: Callable[[str, str, float], Awaitable[bool]]
    holder: str
    clock: Clock
    every: timedelta
    every_records: int
    look_every: timedelta = LOOK_EVERY
    _kept: int = 0
    _since: float | None = None
    _told: str = field(default="")

    async def __call__(self) -> None:
        """Looks until it is cancelled; an outage, or a place that takes nothing, is tried again at the next look."""
        while True:
            try:
                await self.look()
                self._told = ""
            except (Outage, Undelivered) as error:
                if str(error) != self._told:  # once, and not at every look
                    self._told = str(error)
                    _log.error("no checkpoint of the audit trail could be kept: %s", self._told)
            await asyncio.sleep(self.look_every.total_seconds())

    async def look(self) -> None:
        """Has a checkpoint kept if one is due and this process is the one that does it."""
        if not await self.hold(NAME, self.holder, _HELD_FOR):
            return
        count, head = await self.tip()
        now = self.clock.monotonic()
        is_due = self._since is None or now - self._since >= self.every.total_seconds()
        if count == self._kept or not (is_due or count - self._kept >= self.every_records):
            return
        await self.keep(Checkpoint(count, head, self.clock.now()))
        self._kept, self._since = count, now
