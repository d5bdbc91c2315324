"""Which candidate is in shadow, and what every process counts of it, added up in the ledger's database."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, select
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.schema.policy_tables import policy_shadows, shadow_counts
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.store import Store
from remit_server.domain.policy_revision import ShadowCount

_CANDIDATE: Final = select(policy_shadows.c.revision)
_add = insert(shadow_counts)


def _either(kept: ColumnElement[datetime], new: ColumnElement[datetime], *, later: bool) -> ColumnElement[datetime]:
    """Returns the later or the earlier of two times; their texts are of one width."""
    return case((new > kept if later else new < kept, new), else_=kept)


_ADD: Final = _add.on_conflict_do_update(
    index_elements=["candidate", "active", "difference"],
    set_={
        "count": shadow_counts.c.count + _add.excluded.count,
        "first_time": _either(shadow_counts.c.first_time, _add.excluded.first_time, later=False),
        "last_time": _either(shadow_counts.c.last_time, _add.excluded.last_time, later=True),
    },
)


class DatabaseShadowCounting:
    """Adds up (implements `application.policy.ports.ShadowCounting`); the example that was written first stays."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def candidate(self) -> str:
        """Returns which revision is in shadow, empty for none; raises Outage."""
        return await self._store.read(_candidate)

    async def add(self, candidate: str, counts: Sequence[ShadowCount], /) -> None:
        """Adds counts to those that are kept; raises Outage."""
        await self._store.commit(partial(_added, candidate, counts))


def _candidate(connection: Connection) -> str:
    return str(connection.execute(_CANDIDATE).scalar() or "")


def _added(candidate: str, counts: Sequence[ShadowCount], batch: Batch) -> None:
    for one in sorted(counts, key=lambda count: (count.active, count.difference)):
        batch.connection.execute(_ADD, _row(candidate, one))


def _row(candidate: str, one: ShadowCount) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "active": one.active,
        "difference": one.difference,
        "count": one.count,
        "example": one.example,
        "first_time": one.first_time,
        "last_time": one.last_time,
    }
