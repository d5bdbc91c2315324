"""Work that one process of all does: whoever holds its name in the ledger."""

from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import bindparam, or_
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.schema.revocation_tables import holds
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.adapters.database.writing.store import Store

_NEW: Final = insert(holds)
_HOLD: Final = Prepared(
    _NEW.on_conflict_do_update(
        index_elements=[holds.c.name],
        set_={"holder": _NEW.excluded.holder, "until": _NEW.excluded.until},
        where=or_(holds.c.holder == _NEW.excluded.holder, holds.c.until <= bindparam("now")),
    ).returning(holds.c.holder),
    columns=("name", "holder", "until"),
)


class DatabaseHolds:
    """Gives each name to one holder at a time (implements `HoldName`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, name: str, holder: str, seconds: float, /) -> bool:
        """Says whether `holder` has the name for so long from now on: it was free, lapsed or its own already."""
        return await self._store.commit(partial(hold, name=name, holder=holder, seconds=seconds))


def hold(batch: Batch, name: str, holder: str, seconds: float) -> bool:
    """Takes or extends a hold by the time of the transaction, which has the head of the chain to itself."""
    until = batch.now + timedelta(seconds=seconds)
    these = {"name": name, "holder": holder, "until": until, "now": batch.now}
    return _HOLD.first(batch.connection, these) is not None


def is_held(batch: Batch, name: str, holder: str) -> bool:
    """Says whether `holder` still has the name."""
    return (
        batch.connection.execute(
            holds.select().where(holds.c.name == name, holds.c.holder == holder, holds.c.until > batch.now)
        ).first()
        is not None
    )
