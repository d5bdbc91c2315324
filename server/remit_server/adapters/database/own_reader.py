"""Reads for the security side, on a connection of its own: however much an operator asks for, no agent waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

from remit_server.adapters.database.batch import T
from remit_server.adapters.database.engine import Database, Work, open_for_reading
from remit_server.domain.errors import Outage, Reason

PATIENCE: Final = timedelta(seconds=5)


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
                return await self.database.read(work)
        except (SQLAlchemyError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            message = "the ledger cannot be read now, or this takes too long to find: try again, or ask for less"
            raise Outage(Reason.LEDGER_UNAVAILABLE, message, retry_after=timedelta(seconds=1)) from error


@asynccontextmanager
async def own_reader(url: str | Path, *, password_file: Path | None = None) -> AsyncIterator[OwnReader]:
    """Opens the ledger for reading and closes it at the end of the block; raises DatabaseRefused."""
    database = open_for_reading(url, password_file=password_file, longest=PATIENCE)
    try:
        yield OwnReader(database)
    finally:
        await database.close()
