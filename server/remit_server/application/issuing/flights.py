"""One flight per request: while a call runs, a repeat of it waits its turn."""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any


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

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        return _waited_for(self)

    def __aexit__(self, *_: object) -> Coroutine[Any, Any, None]:
        return _handed_on(self)

    def leave(self, flight: _Flight) -> None:
        """Forgets the flight with the last who waits for it."""
        flight.waiting -= 1
        if not flight.waiting:
            del self.flights[self.key]


async def _waited_for(turn: _Turn) -> None:
    """Waits for the turn; one who goes meanwhile waits no longer."""
    flight = turn.flights.get(turn.key)
    if flight is None:
        flight = turn.flights[turn.key] = _Flight()
    flight.waiting += 1
    try:
        await flight.lock.acquire()
    except BaseException:
        turn.leave(flight)
        raise


async def _handed_on(turn: _Turn) -> None:
    """Hands the turn on."""
    flight = turn.flights[turn.key]
    flight.lock.release()
    turn.leave(flight)
