"""Starts child processes so that giving up a start is bounded, and leaves no process behind.

NOTE: a loop that ends cancels the tasks within asyncio's own start too. asyncio then kills the process, and waits for
ever for pipes that nobody connects any more (before Python 3.14).
"""

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

GIVEN_UP_SECONDS: Final = 10.0  # for a start that was given up to come to an end of its own: it takes a few turns
ENDING_SECONDS: Final = 0.2  # for one that the loop's end has cancelled: its process is killed already

T = TypeVar("T")


async def started(start: Coroutine[Any, Any, T], end: Callable[[T], Awaitable[object]]) -> T:
    """Returns what was started; a caller that is cancelled meanwhile waits until it was ended again."""
    starting = asyncio.get_running_loop().create_task(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _given_up(starting, end)
        raise


async def process_of(command: Sequence[str], **options: Any) -> Process:
    """Returns a process in a session of its own that inherits nothing but what `options` say; its errors go nowhere."""
    apart: dict[str, Any] = {
        "stdin": asyncio.subprocess.PIPE,
        "stdout": asyncio.subprocess.PIPE,
        "stderr": asyncio.subprocess.DEVNULL,  # a traceback may quote what an author wrote
        "env": {"LC_ALL": "C.UTF-8"},
        "cwd": "/",
        "start_new_session": True,
    }
    return await started(asyncio.create_subprocess_exec(*command, **(apart | options)), killed)


async def _given_up(starting: asyncio.Task[T], end: Callable[[T], Awaitable[object]]) -> None:
    """Ends what is being started."""
    await asyncio.wait({starting}, timeout=ENDING_SECONDS if starting.cancelling() else GIVEN_UP_SECONDS)
    if not starting.done():
        starting.cancel()  # now it waits for nothing any more
        await asyncio.wait({starting}, timeout=ENDING_SECONDS)
    if starting.done() and not starting.cancelled() and starting.exception() is None:
        await end(starting.result())


async def killed(process: Process) -> None:
    """Kills a process by its id, and returns once it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
