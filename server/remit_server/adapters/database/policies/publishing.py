"""Publishes a revision, as one operation of a batch: its row, its archive in parts, its record."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.policies.rows import published_of, published_row
from remit_server.adapters.database.schema.policy_tables import policy_archives, policy_revisions
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.application.policy.ports import NewRevision
from remit_server.domain.policy_records import RevisionPublished
from remit_server.domain.policy_revision import PublishedRevision, RevisionSource

PART_BYTES: Final = 1 << 20
_PUBLISHED: Final = Prepared(select(policy_revisions).where(policy_revisions.c.revision == bindparam("revision")))
_ADD: Final = insert(policy_revisions).returning(policy_revisions.c.number)
_ADD_PART: Final = insert(policy_archives)
PARTS_AT_ONCE: Final = 4
_PARTS: Final = (
    select(policy_archives.c.content)
    .where(policy_archives.c.revision == bindparam("revision"), policy_archives.c.part >= bindparam("part"))
    .order_by(policy_archives.c.part)
    .limit(PARTS_AT_ONCE)
)


def publish(batch: Batch, new: NewRevision, *, by: str, source: RevisionSource) -> tuple[PublishedRevision, bool]:
    """Keeps a bundle and records it, unless one of the same content is kept: then that is what there is."""
    if (known := published(batch.connection, new.facts.revision)) is not None:
        return known, False
    row = published_row(new.facts, by=by, source=source, now=batch.now)
    number: int = batch.connection.execute(_ADD, row).scalar_one()
    for part, start in enumerate(range(0, len(new.archive), PART_BYTES)):
        content = new.archive[start : start + PART_BYTES]
        batch.connection.execute(_ADD_PART, {"revision": new.facts.revision, "part": part, "content": content})
        batch.gets_on()
    batch.append(
        RevisionPublished(
            revision=new.facts.revision,
            by=by,
            source=source.value,
            size=new.facts.size,
            built_time=new.facts.built_time,
            signed_by=new.facts.signed_by,
        )
    )
    return published_of({**row, "number": number}), True


def published(connection: Connection, revision: str) -> PublishedRevision | None:
    """Returns a revision as it is kept, or None."""
    row = _PUBLISHED.first(connection, {"revision": revision})
    return None if row is None else published_of(row)


def parts_of(connection: Connection, revision: str, part: int) -> Sequence[bytes]:
    """Returns a few parts of a revision's archive, from this one on: fewer than `PARTS_AT_ONCE` at its end."""
    return connection.execute(_PARTS, {"revision": revision, "part": part}).scalars().all()


def archive_of(connection: Connection, revision: str) -> bytes | None:
    """Returns the files of a revision as they were published, or None, on a connection that nobody waits for."""
    parts: list[bytes] = []
    while some := parts_of(connection, revision, len(parts)):
        parts += some
    return b"".join(parts) if parts else None
