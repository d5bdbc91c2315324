"""What is read from the ledger for the figures: on a connection of its own, so that no call waits for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from remit_server.adapters.database.reading.own_reader import Reads
from remit_server.adapters.database.schema.approval_tables import approvals, notifications
from remit_server.adapters.database.schema.revocation_tables import denies
from remit_server.adapters.database.schema.tables import audit_head, grants
from remit_server.adapters.metrics import catalogue
from remit_server.adapters.metrics.catalogue import Backlog
from remit_server.adapters.metrics.figures import Figures
from remit_server.application.oversight.keep_checkpoints import Keep
from remit_server.application.ports import Clock
from remit_server.domain.approval import ApprovalState
from remit_server.domain.checkpoint import Checkpoint
from remit_server.domain.errors import Outage
from remit_server.domain.grant import GrantState

EVERY: Final = 15.0  # seconds
MOST_DENIED: Final = 10_000  # that were obeyed within `LATE`
LATE: Final = timedelta(minutes=5)  # how long after AWS obeyed a deny that is on record at the latest
_log: Final = logging.getLogger(__name__)
_BACKLOGS: Final = {
    Backlog.DENIES: select(func.count(), func.min(denies.c.revoke_time)).where(
        denies.c.covers_until > bindparam("now"), denies.c.effective_time.is_(None), denies.c.required.is_(True)
    ),
    Backlog.NOTIFICATIONS: select(func.count(), func.min(notifications.c.create_time)).where(
        notifications.c.next_time.is_not(None)
    ),
    Backlog.APPROVALS: select(func.count(), func.min(approvals.c.create_time)).where(
        approvals.c.state == ApprovalState.PENDING.value
    ),
}
_DENIED: Final = (
    select(denies.c.number, denies.c.revoke_time, denies.c.effective_time)
    .where(denies.c.effective_time > bindparam("since"), denies.c.effective_time <= bindparam("now"))
    .order_by(denies.c.number)
    .limit(MOST_DENIED)
)
_LENGTH: Final = select(audit_head.c.sequence).where(audit_head.c.id == 1)


@dataclass(frozen=True, slots=True)
class _Seen:
    live: int
    length: int
    backlogs: tuple[tuple[Backlog, int, datetime | None], ...]
    denied: tuple[tuple[int, datetime, datetime], ...]


def _seen(now: datetime, connection: Connection) -> _Seen:
    """Reads everything in one state of the ledger."""
    live = select(func.count()).where(grants.c.state == GrantState.ISSUED.value, grants.c.expire_time > now)
    waiting = tuple((what, *connection.execute(query, {"now": now}).one()) for what, query in _BACKLOGS.items())
    rows = connection.execute(_DENIED, {"since": now - LATE, "now": now}).all()
    denied = tuple((number, revoked, effective) for number, revoked, effective in rows)
    return _Seen(connection.execute(live).scalar_one(), connection.execute(_LENGTH).scalar_one(), waiting, denied)


@dataclass(slots=True)
class LedgerFigures:
    """Reads them every few seconds, `sleep`ing in between.

    NOTE: when AWS obeyed a deny is put on record after that, so each is counted by its number and not by the last look;
    those of before the start are another process's.
    """

    reads: Reads
    figures: Figures
    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _start: datetime = field(init=False)
    _counted: frozenset[int] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._start = self.clock.now()

    async def __call__(self) -> None:
        """Reads until it is cancelled; while the ledger cannot be read the figures stay, and so does their time."""
        while True:
            try:
                await self.look()
            except Outage:
                _log.debug("the figures of the ledger could not be read")
            except Exception as error:  # noqa: BLE001 - whatever it is: it must not end the looking
                _log.error("the figures of the ledger could not be read: %s", type(error).__name__)
            await self.sleep(EVERY)

    async def look(self) -> None:
        """Reads them once; raises Outage."""
        now = self.clock.now()
        seen = await self.reads.read(partial(_seen, now))
        put = self.figures.put
        put(catalogue.LIVE, seen.live)
        put(catalogue.LENGTH, seen.length)
        for what, count, since in seen.backlogs:
            put(catalogue.BACKLOG, count, what)
            put(catalogue.BACKLOG_AGE, 0.0 if since is None else max(0.0, (now - since).total_seconds()), what)
        self._count(seen.denied)
        put(catalogue.LOOKED, now.timestamp())

    def _count(self, denied: Sequence[tuple[int, datetime, datetime]]) -> None:
        """Counts the denies that were obeyed since the start, each once."""
        for number, revoked, effective in denied:
            if number not in self._counted and effective > self._start:
                self.figures.observe(catalogue.DENIED_SECONDS, max(0.0, (effective - revoked).total_seconds()))
        self._counted = frozenset(number for number, _, _ in denied)


@dataclass(frozen=True, slots=True)
class CountedCheckpoints:
    """Keeps checkpoints (implements `Keep`), and counts them."""

    keep: Keep
    figures: Figures

    async def __call__(self, checkpoint: Checkpoint, /) -> None:
        """Returns once it is kept; raises Undelivered."""
        try:
            await self.keep(checkpoint)
        except BaseException:
            self.figures.add(catalogue.CHECKPOINTS, 1, "failed")
            raise
        self.figures.add(catalogue.CHECKPOINTS, 1, "kept")
        self.figures.put(catalogue.CHECKPOINT_TIME, checkpoint.time.timestamp())
        self.figures.put(catalogue.CHECKPOINT_RECORDS, checkpoint.count)
