"""A running sandbox for code that is not asynchronous: the story of the demo, and tests."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from remit_sandbox.sandbox import Sandbox, running_sandbox

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BackgroundSandbox:
    """A sandbox whose event loop has a thread of its own; `run` does something asynchronous there and waits for it."""

    sandbox: Sandbox
    _loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns what the work returns; when this thread is interrupted, the work is cancelled."""
        return _run(self._loop, work)


@contextmanager
def sandbox_in_background(
    folder: Path, *, mtls_port: int = 0, bearer_port: int = 0, before_sts: Callable[[str], str] = str
) -> Iterator[BackgroundSandbox]:
    """Does as `running_sandbox` does; every process has ended when the block is left, also if interrupted at the start.

    Raises SandboxError with what to do when a part cannot start.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
    thread.start()
    stack = AsyncExitStack()
    starting = running_sandbox(folder, mtls_port=mtls_port, bearer_port=bearer_port, before_sts=before_sts)
    try:
        yield BackgroundSandbox(_run(loop, stack.enter_async_context(starting)), loop)
    finally:
        _run(loop, _ended(stack))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Runs the work on a loop that runs in another thread."""
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _ended(stack: AsyncExitStack) -> None:
    """Ends what was started, and waits for whatever was cancelled half-way and ends by itself."""
    await stack.aclose()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
