"""Which candidate is in shadow and what was counted of it, on the ledger's database."""

from functools import partial
from typing import Final

from sqlalchemy import Connection, RowMapping, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.schema.policy_tables import policy_revisions, policy_shadows, shadow_counts
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.store import Store
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.policy_records import ShadowStarted, ShadowStopped
from remit_server.domain.policy_revision import Shadow, ShadowCount

MOST_COUNTS: Final = 1000
_ONLY: Final = 1
_IS_PUBLISHED: Final = select(policy_revisions.c.number).where(policy_revisions.c.revision == bindparam("wanted"))
_IN_SHADOW: Final = select(policy_shadows)
_add = insert(policy_shadows)
_PUT: Final = _add.on_conflict_do_update(
    index_elements=["id"], set_={name: _add.excluded[name] for name in ("revision", "time", "by")}
)
_COUNTS: Final = (
    select(shadow_counts)
    .where(shadow_counts.c.candidate == bindparam("wanted"))
    .order_by(shadow_counts.c.last_time.desc(), shadow_counts.c.active, shadow_counts.c.difference)
    .limit(MOST_COUNTS)
)

_LAST: Final = (
    select(shadow_counts.c.candidate).order_by(shadow_counts.c.last_time.desc(), shadow_counts.c.candidate).limit(1)
)


class DatabaseShadows:
    """Keeps the candidate in shadow (implements `application.policy.ports.Shadows`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def start(self, revision: str, /, *, by: str) -> None:
        """Puts a published revision into shadow, in place of another one; at a repeat nothing changes."""
        await self._store.commit(partial(start, revision=revision, by=by))

    async def stop(self, *, by: str) -> str:
        """Ends the shadow and returns which revision was in it; empty when none was."""
        return await self._store.commit(partial(stop, by=by))

    async def shown(self, revision: str | None, /) -> Shadow | None:
        """Returns a candidate with its counts, or the one in shadow, else the last one counted; None for none."""
        return await self._store.read(partial(_shown, revision))


def start(batch: Batch, revision: str, by: str) -> Denied | None:
    """Puts a revision into shadow and records it, and the end of the one before."""
    if batch.connection.execute(_IS_PUBLISHED, {"wanted": revision}).first() is None:
        return Denied(Reason.NOT_FOUND, "there is no published revision of that digest: publish it first")
    before = _in_shadow(batch.connection)
    if before is not None and before["revision"] == revision:
        return None
    if before is not None:
        batch.append(ShadowStopped(before["revision"], by))
    batch.connection.execute(_PUT, {"id": _ONLY, "revision": revision, "time": batch.now, "by": by})
    batch.append(ShadowStarted(revision, by))
    return None


def stop(batch: Batch, by: str) -> str:
    """Ends the shadow and records it, if there is one."""
    before = _in_shadow(batch.connection)
    if before is None:
        return ""
    batch.connection.execute(delete(policy_shadows))
    batch.append(ShadowStopped(before["revision"], by))
    return str(before["revision"])


def _in_shadow(connection: Connection) -> RowMapping | None:
    """Returns the row of the candidate in shadow, or None."""
    return connection.execute(_IN_SHADOW).mappings().first()


def _shown(revision: str | None, connection: Connection) -> Shadow | None:
    """Reads a candidate and its counts."""
    row = _in_shadow(connection)
    wanted = revision
    if wanted is None:
        wanted = row["revision"] if row is not None else connection.execute(_LAST).scalar()
    if wanted is None:
        return None
    counts = tuple(
        ShadowCount(
            active=one["active"],
            difference=one["difference"],
            count=one["count"],
            example=one["example"],
            first_time=one["first_time"],
            last_time=one["last_time"],
        )
        for one in connection.execute(_COUNTS, {"wanted": wanted}).mappings()
    )
    since = row["time"] if row is not None and row["revision"] == wanted else None
    return Shadow(wanted, since, counts) if since or counts else None
