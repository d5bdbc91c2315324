"""Shows the audit trail to operators who see everything, and verifies its chain for them."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.oversight.paging import Page, list_digest, place_of, size_of, token_of
from remit_server.application.oversight.ports import Place, Trail, TrailFilter
from remit_server.domain.audit import ChainBroken, ChainedEvent, ChainIntact
from remit_server.domain.errors import FieldViolation, InvalidRequest, Outage, Reason
from remit_server.domain.operator import Operator

LIST: Final = "AuditService.ListEvents"
WATCH: Final = "AuditService.WatchEvents"
VERIFY: Final = "AuditService.VerifyChain"
READ_AT_ONCE: Final = 200
LAST_PLACE: Final = (1 << 63) - 1  # that a database can hold
_NO_TIME: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class EventListOrder:
    """One page of events: which, how many, and before which place in the chain."""

    operator: Operator
    wanted: TrailFilter
    size: int
    before: int | None

    @classmethod
    def of(cls, operator: Operator, wanted: TrailFilter, size: int, token: str) -> "EventListOrder":
        """Reads what a caller sent; raises InvalidRequest."""
        place = place_of(token, _digest(operator, wanted))
        if place is not None and not (place.key.isdecimal() and int(place.key) <= LAST_PLACE):
            raise InvalidRequest([FieldViolation("page_token", "is not of this list")])
        return cls(operator, wanted, size_of(size), None if place is None else int(place.key))


@dataclass(frozen=True, slots=True)
class SeeAudit:
    """Reads the audit trail for operators."""

    authorize: Authorize
    trail: Trail
    _verifying: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def listed(self, order: EventListOrder) -> Page[ChainedEvent]:
        """Returns a page of events, newest first; with a filter it may be short although more pages follow."""
        about = " ".join(part for part in (order.wanted.task_id, order.wanted.kind) if part)
        await self.authorize(order.operator, LIST, about=about, whole=True)
        found = await self.trail.before(order.before, order.wanted, at_most=order.size)
        digest = _digest(order.operator, order.wanted)
        token = token_of(Place(_NO_TIME, str(found.goes_on_before)), digest) if found.goes_on_before else ""
        return Page(tuple(found.events), token)

    async def watched(self, operator: Operator, from_sequence: int) -> AsyncGenerator[ChainedEvent, None]:
        """Yields every event from a place in the chain on, those to come as they are written; from now on for 0."""
        seen = from_sequence - 1 if from_sequence else await self.trail.head()
        await self.authorize(operator, WATCH, about=f"from {from_sequence}" if from_sequence else "", whole=True)
        while True:
            await self.trail.grown(seen)
            for event in await self.trail.after(seen, at_most=READ_AT_ONCE):
                seen = event.sequence
                yield event

    async def verified(self, operator: Operator) -> ChainIntact | ChainBroken:
        """Verifies the whole chain beside the loop, one verification at a time.

        Raises Outage(OVERLOADED) while another one runs.
        """
        await self.authorize(operator, VERIFY, whole=True)
        if self._verifying.locked():
            raise Outage(
                Reason.OVERLOADED, "a verification is running in this gateway process: ask again once it is over"
            )
        async with self._verifying:
            return await self.trail.verify()


def _digest(operator: Operator, wanted: TrailFilter) -> str:
    return list_digest(operator.name, LIST, wanted.task_id, wanted.kind)
