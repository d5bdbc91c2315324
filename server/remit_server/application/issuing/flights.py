"""One flight per request: while a call runs, a repeat of it waits its turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Flight:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


@dataclass(slots=True)
class Flights:
    """Hands each (actor, request_id) to one call at a time, in this process. As many entries as calls are running."""

    _flights: dict[tuple[str, str], _Flight] = field(default_factory=dict)

    @asynccontextmanager
    async def __call__(self, actor_id: str, request_id: str) -> AsyncIterator[None]:
        """Holds the request while the block runs."""
        key = (actor_id, request_id)
        flight = self._flights.setdefault(key, _Flight())
        flight.waiting += 1
        try:
            async with flight.lock:
                yield
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                del self._flights[key]
