"""Follows what all processes of a gateway do, and tells those in this process who want to know."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from remit_server.adapters.database.following.bells import Bell, bell_of
from remit_server.adapters.database.following.signals import AT_ONCE, KEPT, DatabaseSignals
from remit_server.adapters.database.store import Store
from remit_server.application.lifecycle.ports import Signal, Signals
from remit_server.domain.errors import Outage

MOST_WAITING: Final = 256  # signals that a subscriber has not taken yet
_PAUSE: Final = 0.2  # seconds after the table could not be read
_FORGOTTEN_AFTER: Final = KEPT.total_seconds() * 0.9
_log = logging.getLogger(__name__)


class FellBehind(Exception):  # noqa: N818 - named for what it says
    """Signals may have been missed: whoever follows has to look at what is so now, and follow anew."""


class Subscription:
    """The signals about a task, or all of them, from when it was made: to be looked up in the ledger, never trusted."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Signal | None] = asyncio.Queue(MOST_WAITING + 1)

    def __aiter__(self) -> AsyncIterator[tuple[Signal, ...]]:
        """Yields what has come in order, as many at once as there are; raises FellBehind once some were missed."""
        return self._batches()

    async def _batches(self) -> AsyncIterator[tuple[Signal, ...]]:
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            if None in batch:
                raise FellBehind
            yield tuple(signal for signal in batch if signal is not None)

    def tell(self, signal: Signal) -> None:
        """Adds a signal; one for which there is no room is noted as missed."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put_nowait(signal)
        else:
            self.miss()

    def miss(self) -> None:
        """Notes that signals were missed."""
        with suppress(asyncio.QueueFull):  # it is noted already
            self._waiting.put_nowait(None)


class Follower:
    """Reads each signal once for all subscribers of this process, while `run` runs after `start`."""

    def __init__(self, signals: Signals, bell: Bell, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._signals = signals
        self._bell = bell
        self._monotonic = monotonic
        self._position = 0
        self._read_at = monotonic()
        self._subscribers: dict[str, set[Subscription]] = defaultdict(set)  # by task; all signals under the empty one

    @contextmanager
    def following(self, task_id: str = "") -> Iterator[Subscription]:
        """Gives the signals about a task, and those about more than one, while the block runs; without one, all.

        Whoever reads the ledger after this has begun misses nothing: what is committed later is told.
        """
        subscription = Subscription()
        self._subscribers[task_id].add(subscription)
        try:
            yield subscription
        finally:
            self._subscribers[task_id].discard(subscription)
            if not self._subscribers[task_id]:
                del self._subscribers[task_id]

    async def start(self) -> None:
        """Begins after the latest signal; raises Outage."""
        self._position = await self._signals.latest()
        self._read_at = self._monotonic()

    async def run(self) -> None:
        """Follows until it is cancelled, through any outage of the database."""
        while True:
            try:
                await self._catch_up()
                self._read_at = self._monotonic()
            except Outage:
                await asyncio.sleep(_PAUSE)
            else:
                await self._bell.rings()

    async def _catch_up(self) -> None:
        """Tells everything that came after the position, and moves it."""
        batch: Sequence[Signal] = await self._signals.since(self._position)
        if self._monotonic() - self._read_at > _FORGOTTEN_AFTER:  # some may have been forgotten before they were read
            self._miss()
        while batch:
            for signal in batch:
                self._tell(signal)
            self._position = batch[-1].sequence
            batch = await self._signals.since(self._position) if len(batch) == AT_ONCE else ()

    def _tell(self, signal: Signal) -> None:
        """Tells whom a signal is about."""
        if signal.task_id:
            told = [*self._subscribers.get(signal.task_id, ()), *self._subscribers.get("", ())]
        else:
            told = [one for subscribers in self._subscribers.values() for one in subscribers]
        for subscription in told:
            subscription.tell(signal)

    def _miss(self) -> None:
        """Has every subscriber look for itself."""
        _log.warning("the database was out of reach for so long that signals may have been missed")
        for subscribers in self._subscribers.values():
            for subscription in subscribers:
                subscription.miss()


@asynccontextmanager
async def running_follower(
    store: Store, url: str | Path, *, password_file: Path | None = None
) -> AsyncIterator[Follower]:
    """Follows the signals of a database while the block runs; raises Outage where that cannot begin."""
    bell = bell_of(url, password_file=password_file)
    follower = Follower(DatabaseSignals(store), bell)
    await follower.start()
    running = asyncio.create_task(follower.run(), name="ledger-follower")
    try:
        yield follower
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await bell.close()
