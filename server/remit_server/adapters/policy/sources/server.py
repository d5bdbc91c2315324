"""A bundle server as a source of bundles: asked at a pace, or waited for where it lets its clients wait."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final
from urllib.parse import urlsplit

from remit_server.adapters.identity.fetch_failures import FetchFailed
from remit_server.adapters.policy.sources.fetching import BundleAnswer, BundleFetch
from remit_server.adapters.policy.sources.opening import Opening
from remit_server.application.policy.following.source_ports import (
    Offered,
    SourceNews,
    StillOffered,
    Unacceptable,
    Unreachable,
)
from remit_server.config.policy_settings import BundleServerSettings, BundleSigningSettings
from remit_server.domain.policy_revision import RevisionSource

LONGEST_WAIT_SECONDS: Final = 60
_SHORTEST_PAUSE: Final = 1.0  # behind a server that answers at once although it says that it waits
_SPREAD: Final = 0.1


class BundleServerSource:
    """Offers what a bundle server has (implements `PolicySource`).

    The archive itself is not kept, only its entity tag and what it offered.
    """

    kind: Final = RevisionSource.SERVER

    def __init__(
        self,
        settings: BundleServerSettings,
        signing: BundleSigningSettings,
        *,
        fetch: BundleFetch | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        url = urlsplit(settings.url)
        self.name: Final = f"{url.scheme}://{url.netloc}{url.path}"
        self._poll = settings.poll.total_seconds()
        self._opening = Opening(self.name, signing)
        self._fetch = fetch or BundleFetch(settings)
        self._monotonic = monotonic
        self._etag = ""
        self._held: Offered | StillOffered | Unacceptable | None = None
        self._waits = False

    def forget(self) -> None:
        """Makes the next news an `Offered` in full."""
        self._etag = ""

    async def news(self) -> AsyncGenerator[SourceNews, None]:
        """Yields what the server has, at once and then at its own pace, or that it does not answer."""
        while True:
            asked = self._monotonic()
            news = await self._ask()
            is_waiting = self._waits and bool(self._etag) and not isinstance(news, Unreachable)
            yield news
            await asyncio.sleep(self._pause(is_waiting=is_waiting, took=self._monotonic() - asked))

    def _pause(self, *, is_waiting: bool, took: float) -> float:
        """Returns how long nothing is asked: replicas that start together do not ask together for ever."""
        if is_waiting:
            return max(0.0, _SHORTEST_PAUSE - took)
        return self._poll * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 - spreads load, keeps no secret

    async def _ask(self) -> SourceNews:
        """Asks once."""
        try:
            answer = await self._fetch(
                self._etag, wait_seconds=LONGEST_WAIT_SECONDS if self._waits and self._etag else 0
            )
        except FetchFailed as failed:
            return Unreachable(str(failed))
        return await self._told(answer)

    async def _told(self, answer: BundleAnswer) -> SourceNews:
        """Returns what an answer means."""
        self._waits = answer.waits or (answer.archive is None and self._waits)
        if answer.archive is None and self._held is not None:
            return self._held
        if answer.archive is None:
            return Unreachable("it says that nothing changed, although nothing is known yet")
        news = await asyncio.to_thread(self._opening.archive, answer.archive)
        self._etag = answer.etag
        self._held = StillOffered(news.offer) if isinstance(news, Offered) else news
        return news
