"""Reads for the security side, on a connection of its own: however much an operator asks for, no agent waits for it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from remit_server.adapters.database.engine import Database, Work, open_for_reading
from remit_server.adapters.database.writing.batch import T
from remit_server.domain.errors import Outage, Reason

PATIENCE: Final = timedelta(seconds=5)
STEPS: Final = 20_000  # of SQLite's machine, between two looks at the clock


class Reads(Protocol):
    """Reads what is committed."""

    async def read(self, work: Work[T]) -> T:
        """Returns what the work reads; raises Outage(LEDGER_UNAVAILABLE) for any failure."""
        ...


@dataclass(frozen=True, slots=True)
class OwnReader:
    """One connection that reads, one after the other."""

    database: Database
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def read(self, work: Work[T]) -> T:
        """Returns what the work reads within the ledger's patience; raises Outage(LEDGER_UNAVAILABLE)."""
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()), self._turn:
                return await self.database.read(partial(_in_time, work, time.monotonic() + PATIENCE.total_seconds()))
        except (SQLAlchemyError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            message = "the ledger cannot be read now, or this takes too long to find: try again, or ask for less"
            raise Outage(Reason.LEDGER_UNAVAILABLE, message, retry_after=timedelta(seconds=1)) from error


def _in_time(work: Work[T], deadline: float, connection: Connection) -> T:
    """Runs the work, which the database itself ends at the deadline: nobody else waits for what nobody waits for."""
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"SET LOCAL statement_timeout = {int(PATIENCE.total_seconds() * 1000)}"))
        return work(connection)
    raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    try:
        return work(connection)
    finally:
        raw.set_progress_handler(None, 0)


@asynccontextmanager
async def own_reader(url: str | Path, *, password_file: Path | None = None) -> AsyncIterator[OwnReader]:
    """Opens the ledger for reading and closes it at the end of the block; raises DatabaseRefused."""
    database = open_for_reading(url, password_file=password_file, longest=PATIENCE)
    try:
        yield OwnReader(database)
    finally:
        await database.close()
