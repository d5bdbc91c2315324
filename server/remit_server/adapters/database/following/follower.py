"""Follows what all processes of a gateway do: looks into the table of signals whenever the bell rings."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from remit_server.adapters.database.following.bells import Bell, bell_of
from remit_server.adapters.database.trail.signal_log import KEPT_FOR, DatabaseSignals
from remit_server.adapters.database.writing.store import Store
from remit_server.application.lifecycle.ports import Signal, Signals
from remit_server.domain.errors import Outage, Reason

WAIT_AFTER_AN_OUTAGE: Final = timedelta(seconds=0.2)
_FORGOTTEN_AFTER: Final = KEPT_FOR.total_seconds() * 0.9
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Following:
    """Reads each signal once, soon after its commit (implements `application.lifecycle.ports.Follow`)."""

    signals: Signals
    bell: Bell
    monotonic: Callable[[], float] = time.monotonic

    async def __call__(self) -> AsyncGenerator[Sequence[Signal], None]:
        """Yields the signals in their order.

        An outage is waited for; raises Outage after one so long that signals may have been forgotten unread.
        """
        sequence: int | None = None
        read_at = self.monotonic()
        while True:
            try:
                if sequence is None:
                    sequence = await self.signals.latest()
                found = await self.signals.since(sequence)
            except Outage as outage:
                _log.warning("what other processes do cannot be followed now: %s", outage.message)
                await asyncio.sleep(WAIT_AFTER_AN_OUTAGE.total_seconds())
                continue
            before, read_at = read_at, self.monotonic()
            if read_at - before > _FORGOTTEN_AFTER:
                raise Outage(Reason.LEDGER_UNAVAILABLE, "signals were not read for too long: look at what is so now")
            if found:
                sequence = found[-1].sequence
                yield found
            else:
                await self.bell.rings()


@asynccontextmanager
async def following(store: Store, url: str | Path, *, password_file: Path | None = None) -> AsyncIterator[Following]:
    """Gives what follows the signals of a database, while the block runs."""
    bell = bell_of(url, password_file=password_file)
    try:
        yield Following(DatabaseSignals(store), bell)
    finally:
        await bell.close()
