"""The `Signals` port on the ledger's database: what every process hears of, in the order of the chain."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, select

from remit_server.adapters.database.schema.tables import signals
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.adapters.database.writing.store import Store
from remit_server.application.lifecycle.ports import Signal

AT_ONCE = 500
KEPT_FOR = timedelta(hours=1)
PRUNED_AT_ONCE = 10_000

_LATEST = select(func.max(signals.c.sequence))
_SINCE = Prepared(
    select(signals).where(signals.c.sequence > bindparam("sequence")).order_by(signals.c.sequence).limit(AT_ONCE)
)
_PRUNE = delete(signals).where(
    signals.c.sequence.in_(select(signals.c.sequence).order_by(signals.c.sequence).limit(PRUNED_AT_ONCE)),
    signals.c.time < bindparam("before"),
)


class DatabaseSignals:
    """Reads the signals that are on record."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def latest(self) -> int:
        """Returns the sequence of the latest signal; 0 before the first."""
        found = await self._store.read(lambda connection: connection.execute(_LATEST).scalar())
        return found or 0

    async def since(self, sequence: int, /) -> Sequence[Signal]:
        """Returns the signals after this one in their order, at most 500."""

        def read(connection: Connection) -> list[Signal]:
            rows = _SINCE.all(connection, {"sequence": sequence})
            return [Signal(row["sequence"], row["kind"], row["task_id"], row["time"]) for row in rows]

        return await self._store.read(read)

    async def prune(self, now: datetime) -> int:
        """Forgets what every process has heard long ago, the oldest 10,000 at most; returns how many."""
        before = now - KEPT_FOR
        return await self._store.commit(lambda batch: batch.connection.execute(_PRUNE, {"before": before}).rowcount)
