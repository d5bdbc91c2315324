"""Waits for what sets no event."""

import asyncio
from collections.abc import Callable, Iterator


async def until(holds: Callable[[], bool]) -> None:
    """Returns once it holds; a test that waits in vain is ended by its own time limit."""
    while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)


def ever_more(seconds: float) -> Iterator[float]:
    """Yields these seconds, then more each time, for a call that must run out of time, but not before it is heard.

    However slow the machine is, one of them is enough for it; whoever asks says when that was so.
    """
    while seconds < 100:
        yield seconds
        seconds *= 4
