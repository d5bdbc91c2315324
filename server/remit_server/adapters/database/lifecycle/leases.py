"""The `Leases` port on the ledger's database."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from remit_server.adapters.database.lifecycle import leasing
from remit_server.adapters.database.writing.store import Store
from remit_server.application.lifecycle.ports import Leased
from remit_server.domain.identity import Admitted
from remit_server.domain.task import TaskId


class DatabaseLeases:
    """Keeps leases in the database of the ledger (implements `application.lifecycle.ports.Leases`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, by: Admitted, task_id: TaskId, grace: timedelta | None, /) -> Leased:
        """Gives the task a lease, or another one, and extends it."""
        return await self._store.commit(lambda batch: leasing.take(batch, by, task_id, grace))

    async def extend(self, task_ids: Collection[TaskId], /) -> Mapping[TaskId, datetime]:
        """Extends the leases of those that live and have one."""
        return await self._store.commit(lambda batch: leasing.extend(batch, task_ids))

    async def sweep(self, now: datetime, /) -> int:
        """Ends the tasks whose lease has run out, by the time of the transaction."""
        del now
        return await self._store.commit(lambda batch: leasing.sweep(batch, denying=self._store.denying))
