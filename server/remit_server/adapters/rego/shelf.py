"""The embedded engines of a process: the one that decides, those kept warm beside it, and one that is being prepared.

Going back to a revision whose engine is still warm takes no time at all, however large it is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from remit_server.adapters.policy.activation.published import not_for_here
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.adapters.rego.pipes import WorkerLost
from remit_server.domain.errors import Outage, Reason

MOST_LOADING: Final = 2
_RETRY_AFTER: Final = timedelta(seconds=30)
_log: Final = logging.getLogger(__name__)


class EngineShelf:
    """Keeps engines of several revisions (implements `Engines`).

    `read` reads a published revision that fits this gateway. Beside the one in use, `keep` that were used before stay
    warm, and the one that was prepared last.
    """

    def __init__(self, read: Callable[[str], Awaitable[Bundle]], limits: EngineLimits, *, keep: int) -> None:
        self._read = read
        self._limits = limits
        self._keep = keep
        self._used: dict[str, EmbeddedRego] = {}  # in the order of their last use; the last one decides
        self._prepared: EmbeddedRego | None = None
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def warm(self, revision: str, /) -> EmbeddedRego | None:
        """Returns the engine of a revision that is loaded, or None."""
        if self._prepared is not None and self._prepared.active.digest == revision:
            return self._prepared
        return self._used.get(revision)

    async def prepare(self, revision: str, /) -> None:
        """Loads the engine of a revision, in place of the one that was prepared before."""
        if revision not in self._loading and len(self._loading) >= MOST_LOADING:
            message = f"{len(self._loading)} revisions are being loaded on this process already: repeat this in a while"
            raise Outage(Reason.OVERLOADED, message, retry_after=_RETRY_AFTER)
        await self._ready(revision)

    async def turn(self, revision: str, /) -> EmbeddedRego:
        """Returns the engine of a revision, which is in use from now on; closes what is not to be kept."""
        engine = await self._ready(revision)
        if engine is self._prepared:
            self._prepared = None
        self._used.pop(revision, None)
        self._used[revision] = engine
        while len(self._used) > self._keep + 1:
            self._put_away(self._used.pop(next(iter(self._used))))
        return engine

    async def close(self) -> None:
        """Ends every engine."""
        for task in self._loading.values():
            task.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        engines = [*self._used.values(), *([self._prepared] if self._prepared else [])]
        await asyncio.gather(*(engine.close() for engine in engines), *self._closing)

    async def _ready(self, revision: str) -> EmbeddedRego:
        """Returns the engine of a revision; all who want one that is not loaded wait for it together.

        NOTE: it is loaded to its end when nobody waits any more: whoever asks again finds it ready, or nearly so.
        """
        while (engine := self.warm(revision)) is None:
            if revision not in self._loading:
                task = asyncio.create_task(self._load(revision), name="policy-loading")
                self._loading[revision] = task
                task.add_done_callback(lambda done: self._done(revision, done))
            await asyncio.shield(self._loading[revision])
        return engine

    async def _load(self, revision: str) -> None:
        """Makes the engine of a revision the one that is prepared."""
        try:
            engine = await EmbeddedRego.start(await self._read(revision), self._limits)
        except BundleRefused as refused:
            raise not_for_here(refused) from refused
        except (WorkerLost, OSError) as lost:
            _log.exception("an engine could not be loaded", extra={"revision": revision})
            raise Outage(Reason.POLICY_UNAVAILABLE, "the revision's engine could not be started") from lost
        if self._prepared is not None:
            self._put_away(self._prepared)
        self._prepared = engine

    def _done(self, revision: str, task: asyncio.Task[None]) -> None:
        """Forgets a load; reading its failure keeps asyncio from reporting one that nobody waits for any more."""
        self._loading.pop(revision, None)
        if not task.cancelled():
            task.exception()

    def _put_away(self, engine: EmbeddedRego) -> None:
        """Closes an engine, after the questions that it was asked already."""
        task = asyncio.create_task(engine.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
