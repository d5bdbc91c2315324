"""What every process hears of: written with the records, read in their order, forgotten after an hour."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select

from remit_server.adapters.database.batch import Batch
from remit_server.adapters.database.prepared import Prepared
from remit_server.adapters.database.store import Store
from remit_server.adapters.database.tables import signals
from remit_server.application.lifecycle.ports import Signal

KEPT: Final = timedelta(hours=1)
AT_ONCE: Final = 500
_FORGOTTEN_AT_ONCE: Final = 5000

_LATEST: Final = Prepared(select(func.max(signals.c.sequence).label("latest")))
_SINCE: Final = Prepared(
    select(signals).where(signals.c.sequence > bindparam("after")).order_by(signals.c.sequence).limit(AT_ONCE)
)
_OLDEST: Final = (
    select(signals.c.sequence, signals.c.time).order_by(signals.c.sequence).limit(_FORGOTTEN_AT_ONCE).subquery()
)
_OVER: Final = select(func.max(_OLDEST.c.sequence)).where(_OLDEST.c.time <= bindparam("before"))
_FORGET: Final = delete(signals).where(signals.c.sequence <= bindparam("last"))


class DatabaseSignals:
    """Reads the signals of all processes (implements `application.lifecycle.ports.Signals`).

    They are written under the lock of the chain's head, so whatever is committed later has a higher sequence.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def latest(self) -> int:
        """Returns the sequence of the latest signal; 0 before the first."""
        return await self._store.read(_latest)

    async def since(self, sequence: int, /) -> Sequence[Signal]:
        """Returns the signals after this one in their order, at most `AT_ONCE`."""
        return await self._store.read(partial(_since, sequence))


def forget_signals(batch: Batch, now: datetime) -> None:
    """Forgets the oldest signals that are over, a bounded number at a time."""
    last = batch.connection.execute(_OVER, {"before": now - KEPT}).scalar()
    if last is not None:
        batch.connection.execute(_FORGET, {"last": last})


def _latest(connection: Connection) -> int:
    row = _LATEST.first(connection, {})
    return 0 if row is None or row["latest"] is None else int(row["latest"])


def _since(sequence: int, connection: Connection) -> list[Signal]:
    return [Signal(**row) for row in _SINCE.all(connection, {"after": sequence})]
