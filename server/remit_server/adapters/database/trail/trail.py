"""The audit trail as the security side reads it: page by page, as it grows, and verified as a whole."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from remit_server.adapters.database.reading.own_reader import Reads
from remit_server.adapters.database.schema.tables import audit_events, audit_head
from remit_server.application.oversight.ports import TrailFilter, TrailPage
from remit_server.domain.audit import ChainBroken, ChainedEvent, ChainIntact

LOOK_EVERY: Final = timedelta(seconds=1)
MOST_LOOKED_AT: Final = 20_000  # events of which a page takes those that are wanted
_sequence: Final = audit_events.c.sequence
_HEAD: Final = select(audit_head.c.sequence).where(audit_head.c.id == 1)
EVENTS: Final = select(
    _sequence,
    audit_events.c.time,
    audit_events.c.kind,
    audit_events.c.body,
    audit_events.c.previous_hash,
    audit_events.c.event_hash,
)


@dataclass(slots=True)
class DatabaseTrail:
    """Reads the audit trail (implements `application.oversight.ports.Trail`).

    Whoever waits for the chain to grow shares one look at its head. `verify_now` verifies on a connection of its own.
    """

    reads: Reads
    verify_now: Callable[[], ChainIntact | ChainBroken]
    look_every: timedelta = LOOK_EVERY
    _look: asyncio.Task[int] | None = field(default=None, init=False)

    async def head(self) -> int:
        """Returns the place of the last event."""
        return await self.reads.read(_head)

    async def grown(self, sequence: int, /) -> int:
        """Returns the place of the last event once it is behind this one; looks every second, once for all who wait."""
        head = await self.head()
        while head <= sequence:
            head = await asyncio.shield(self._next_look())
        return head

    async def after(self, sequence: int, /, *, at_most: int) -> Sequence[ChainedEvent]:
        """Returns the events behind a place in their order, at most so many."""
        query = EVENTS.where(_sequence > sequence).order_by(_sequence).limit(at_most)
        return await self.reads.read(partial(events_of, query))

    async def before(self, sequence: int | None, wanted: TrailFilter, /, *, at_most: int) -> TrailPage:
        """Returns the events before a place (or the newest), newest first.

        The kind of an event has no index, so the page is of the next 20,000 events at most: how much work a page is
        does not depend on how rare what is wanted is.
        """
        return await self.reads.read(partial(_before, sequence, wanted, at_most))

    async def verify(self) -> ChainIntact | ChainBroken:
        """Verifies the whole chain in a thread."""
        return await asyncio.to_thread(self.verify_now)

    def _next_look(self) -> asyncio.Task[int]:
        """Returns the look that is under way, or a new one."""
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._looked())
        return self._look

    async def _looked(self) -> int:
        await asyncio.sleep(self.look_every.total_seconds())
        return await self.head()


def _head(connection: Connection) -> int:
    return int(connection.execute(_HEAD).scalar_one())


def tip_of(connection: Connection) -> tuple[int, str]:
    """Returns how many records there are, and the hash of the last."""
    row = connection.execute(select(audit_head.c.sequence, audit_head.c.hash).where(audit_head.c.id == 1)).one()
    return int(row[0]), str(row[1])


def events_of(query: Select[Any], connection: Connection) -> list[ChainedEvent]:
    """Returns the events of a query that selects what an event is made of."""
    return [ChainedEvent(*row) for row in connection.execute(query)]


def events_behind(sequence: int, until: int, kinds: Sequence[str], at_most: int) -> Select[Any]:
    """Returns the query of events of some kinds in a part of the chain, in their order."""
    return (
        EVENTS.where(_sequence > sequence, _sequence <= until, audit_events.c.kind.in_(kinds))
        .order_by(_sequence)
        .limit(at_most)
    )


def _before(sequence: int | None, wanted: TrailFilter, at_most: int, connection: Connection) -> TrailPage:
    """Reads one page."""
    top = (_head(connection) + 1) if sequence is None else sequence
    query = EVENTS.where(_sequence < top)
    floor = 0
    if wanted.task_id:
        query = query.where(audit_events.c.task_id == wanted.task_id)
    elif wanted.kind:
        floor = max(0, top - 1 - MOST_LOOKED_AT)
        query = query.where(_sequence > floor)
    if wanted.kind:
        query = query.where(audit_events.c.kind == wanted.kind)
    found = events_of(query.order_by(_sequence.desc()).limit(at_most + 1), connection)
    if len(found) > at_most:
        return TrailPage(found[:at_most], found[at_most - 1].sequence)
    return TrailPage(found, floor + 1 if floor else None)
