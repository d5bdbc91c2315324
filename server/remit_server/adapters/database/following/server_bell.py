"""The bell of a PostgreSQL database: a notification at each commit that others must hear of."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any, Final

import psycopg

from remit_server.adapters.database.engine.postgresql import connect_parameters
from remit_server.adapters.database.writing.batch import CHANNEL
from remit_server.config.postgresql import postgresql_address

RING_EVERY: Final = 2.0  # seconds, should a notification be lost
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_log = logging.getLogger(__name__)


class ServerBell:
    """Listens for PostgreSQL's notifications over a connection of its own, which is made anew when it is lost."""

    def __init__(self, url: str, password_file: Path | None, *, ring_every: float = RING_EVERY) -> None:
        self._ring_every = ring_every
        self._address = postgresql_address(url)
        self._password_file = password_file
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._pause = _FIRST_PAUSE

    async def rings(self) -> None:
        """Returns at a notification, after `ring_every` seconds, and once it listens again after it could not."""
        try:
            if self._connection is None:
                self._connection = await self._listening()
                self._pause = _FIRST_PAUSE
                return  # what was committed before it listened was not told
            async for _ in self._connection.notifies(timeout=self._ring_every, stop_after=1):
                pass
        except (psycopg.Error, OSError, ValueError) as error:
            _log.warning("signals are looked for, not heard of, until the database is reached again: %s", error)
            await self._lost()

    async def close(self) -> None:
        """Ends the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()

    async def _listening(self) -> psycopg.AsyncConnection[Any]:
        """Returns a connection that listens."""
        parameters: Any = await asyncio.to_thread(connect_parameters, self._address, self._password_file)
        connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
        await connection.execute(f"LISTEN {CHANNEL}".encode())
        return connection

    async def _lost(self) -> None:
        """Gives the connection up and waits, longer each time: until then the table is looked at as often."""
        await self.close()
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
