"""One flight per request: while a call runs, a repeat of it waits its turn."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Flight:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


@dataclass(slots=True)
class Flights:
    """Hands each (actor, request_id) to one call at a time, in this process. As many entries as calls are running."""

    _flights: dict[tuple[str, str], _Flight] = field(default_factory=dict)

    def __call__(self, actor_id: str, request_id: str) -> AbstractAsyncContextManager[None]:
        """Holds the request while the block runs."""
        return _Turn(self._flights, (actor_id, request_id))


@dataclass(slots=True)
class _Turn:
    """One call's turn at its request."""

    flights: dict[tuple[str, str], _Flight]
    key: tuple[str, str]

    async def __aenter__(self) -> None:
        flight = self.flights.get(self.key)
        if flight is None:
            flight = self.flights[self.key] = _Flight()
        flight.waiting += 1
        try:
            await flight.lock.acquire()
        except BaseException:
            self._leave(flight)
            raise

    async def __aexit__(self, *_: object) -> None:
        flight = self.flights[self.key]
        flight.lock.release()
        self._leave(flight)

    def _leave(self, flight: _Flight) -> None:
        flight.waiting -= 1
        if not flight.waiting:
            del self.flights[self.key]
