"""A folder as a source of bundles: read at the start, and then looked at for changes where that is asked for."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from remit_server.adapters.policy.bundles.bundle_files import MAX_FILES, read_files
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.sources.opening import Opening
from remit_server.application.policy.following.offers import OfferCode
from remit_server.application.policy.following.source_ports import Offered, SourceNews, StillOffered, Unacceptable
from remit_server.config.policy_settings import BundleSigningSettings
from remit_server.domain.policy_revision import RevisionSource

SETTLE_SECONDS: Final = 1.0
_MOST_LOOKS: Final = 10
_MOST_MARKS: Final = 3 * MAX_FILES
_FRESH_NANOSECONDS: Final = 2_000_000_000


class FolderSource:
    """Offers what a folder holds (implements `PolicySource`).

    `follow` is the pause between two looks; None looks once. A folder that is being written to is let settle first.
    """

    kind: Final = RevisionSource.FOLDER

    def __init__(
        self,
        folder: Path,
        signing: BundleSigningSettings,
        follow: timedelta | None = None,
        *,
        settle_seconds: float = SETTLE_SECONDS,
        read: Callable[[Path], Mapping[str, bytes]] = read_files,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name: Final = str(folder)
        self._folder = folder
        self._opening = Opening(self.name, signing)
        self._follow = follow
        self._settle_seconds = settle_seconds
        self._read_files = read
        self._wall_ns = wall_ns
        self._held: Mapping[str, bytes] | str | None = None
        self._last: Mapping[str, bytes] | None = None
        self._marks: tuple[object, ...] = ()
        self._news: SourceNews | None = None

    def forget(self) -> None:
        """Makes the next news an `Offered` in full."""
        self._held = None

    async def news(self) -> AsyncGenerator[SourceNews, None]:
        """Yields what the folder holds, at once and after each pause."""
        yield await self._look(await asyncio.to_thread(self._read))
        while self._follow is not None:
            await asyncio.sleep(self._follow.total_seconds())
            found = await asyncio.to_thread(self._read)
            if found != self._held and self._held is not None:
                found = await self._settled(found)
            yield await self._look(found)

    async def _look(self, found: Mapping[str, bytes] | str) -> SourceNews:
        """Returns what files, or what is wrong with them, mean."""
        if found == self._held and self._news is not None:
            return StillOffered(self._news.offer) if isinstance(self._news, Offered) else self._news
        if isinstance(found, str):
            news: Offered | Unacceptable = Unacceptable(OfferCode.MALFORMED, found)
        else:
            news = await asyncio.to_thread(self._opening.files, found)
        self._held, self._news = found, news
        return news

    async def _settled(self, found: Mapping[str, bytes] | str) -> Mapping[str, bytes] | str:
        """Returns what the folder holds once it is the same twice: half a change must not be judged."""
        for _ in range(_MOST_LOOKS):
            await asyncio.sleep(self._settle_seconds)
            again = await asyncio.to_thread(self._read)
            if again == found:
                break
            found = again
        return found

    def _read(self) -> Mapping[str, bytes] | str:
        """Returns the files by path, or why they cannot be read; what shows no mark of a change is not read again."""
        try:
            marks = _marks(self._folder, self._wall_ns())
            if self._last is None or not marks or marks != self._marks:
                self._last = self._read_files(self._folder)
                self._marks = marks  # taken before the files: a change meanwhile left others
        except BundleRefused as refused:
            return str(refused)
        except OSError as wrong:  # the folder is changed while it is read
            return f"{self._folder} cannot be read: {wrong.strerror}. See that it stays as it is, and readable."
        else:
            return self._last


def _marks(folder: Path, now_ns: int) -> tuple[object, ...]:
    """Returns what changes when anything below a folder does; nothing while another change might leave the same marks.

    NOTE: a status change time is the kernel's, in ticks of some milliseconds, and nobody but root sets it back.
    """
    marks: list[tuple[str, int, int, int]] = []
    newest = 0
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):  # noqa: PTH118 - os.walk gives text
            found = os.lstat(path)
            marks.append((path, found.st_ctime_ns, found.st_size, found.st_ino))
            newest = max(newest, found.st_ctime_ns)
            if len(marks) > _MOST_MARKS:
                return ()
    is_fresh = now_ns - newest < _FRESH_NANOSECONDS
    return () if is_fresh else tuple(marks)
