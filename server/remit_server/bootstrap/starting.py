"""Puts a process's start on record before anything is served, however busy the disk is meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from remit_server.domain.errors import Outage

TRIES: Final = 6
_PAUSE: Final = 1.0
_log: Final = logging.getLogger(__name__)


async def on_record(record: Callable[[], Awaitable[None]], *, pause: float = _PAUSE) -> None:
    """Returns once the start is on record; raises Outage when it still is not after `TRIES` tries.

    NOTE: a try that got on later than it was waited for leaves a second record of the same start: one too many.
    """
    for _ in range(TRIES - 1):
        try:
            await record()
        except Outage as outage:
            _log.warning("The start is not on record yet, and nothing is served before: %s", outage)
            await asyncio.sleep(pause)
        else:
            return
    await record()
