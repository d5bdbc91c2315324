"""Waits for what sets no event."""

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], bool]) -> None:
    """Returns once it holds; a test that waits in vain is ended by its own time limit."""
    while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)
