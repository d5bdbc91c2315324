"""The `Signals` port on the ledger's database: what every process hears of, in the order of the chain."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select

from remit_server.adapters.database.prepared import Prepared
from remit_server.adapters.database.store import Store
from remit_server.adapters.database.tables import signals
from remit_server.application.lifecycle.ports import Signal

AT_ONCE = 500

_LATEST = select(func.max(signals.c.sequence))
_SINCE = Prepared(
    select(signals).where(signals.c.sequence > bindparam("sequence")).order_by(signals.c.sequence).limit(AT_ONCE)
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
