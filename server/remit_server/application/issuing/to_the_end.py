"""Work that goes on when its caller has hung up: once STS may be called, the outcome is put on record."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ToTheEnd:
    """Runs work to its end, also when its caller goes; a stop waits for what runs."""

    _running: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Returns what the work returns, or raises what it raises."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def settled(self) -> None:
        """Returns when nothing runs any more."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
