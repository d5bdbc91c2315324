"""What goes on beside the calls for as long as the gateway runs."""

import asyncio
import contextlib
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any


def in_background(stack: AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Works until the stack is left, and leaves nothing of it running; what ended the work before is raised there."""
    task = asyncio.create_task(work, name=name)

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)
