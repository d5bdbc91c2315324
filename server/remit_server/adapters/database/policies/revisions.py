"""The `Revisions` port on the ledger's database: written by group commit with everything else."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection, Integer, bindparam, func, select

from remit_server.adapters.database.policies import activating, publishing
from remit_server.adapters.database.policies.rows import activation_of, published_of
from remit_server.adapters.database.schema.policy_tables import policy_activations, policy_revisions
from remit_server.adapters.database.writing.store import Store
from remit_server.application.policy.ports import Activated, ActivationOrder, NewRevision
from remit_server.domain.policy_revision import Activation, PublishedRevision, RevisionSource

_TWO: Final = 2
_MATCHING: Final = (
    select(policy_revisions)
    .where(func.substr(policy_revisions.c.revision, 1, bindparam("length", type_=Integer)) == bindparam("digits"))
    .order_by(policy_revisions.c.revision)
    .limit(_TWO)
)


class DatabaseRevisions:
    """Keeps published revisions and activations in the ledger's database, which is `store` (implements `Revisions`)."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def publish(self, new: NewRevision, /, *, by: str, source: RevisionSource) -> tuple[PublishedRevision, bool]:
        """Keeps a bundle, and returns it as it is kept and whether it is new; puts it on record when it is."""
        return await self.store.commit(partial(publishing.publish, new=new, by=by, source=source))

    async def matching(self, digits: str, /) -> Sequence[PublishedRevision]:
        """Returns the revisions whose digests begin so, two at the most."""
        return await self.store.read(partial(_matching, digits))

    async def archive(self, revision: str, /) -> bytes | None:
        """Returns the files of a revision as they were published, or None; no other read waits for all of them."""
        parts: list[bytes] = []
        while True:
            some = await self.store.read(partial(publishing.parts_of, revision=revision, part=len(parts)))
            parts += some
            if len(some) < publishing.PARTS_AT_ONCE:
                return b"".join(parts) if parts else None

    async def listed(self, *, before: int | None, limit: int) -> Sequence[PublishedRevision]:
        """Returns revisions, newest first: those with a lower number than `before`."""
        return await self.store.read(partial(_listed, before, limit))

    async def activations(self, revision: str | None, /, *, limit: int) -> Sequence[Activation]:
        """Returns activations, newest first: of one revision, or of all."""
        return await self.store.read(partial(_activations, revision, limit))

    async def blocks(self, revisions: Sequence[str], /) -> Mapping[str, str]:
        """Returns which of these revisions are blocked, and by which block."""
        return await self.store.read(partial(activating.blocks, revisions)) if revisions else {}

    async def active(self) -> Activation | None:
        """Returns the last activation, or None before the first."""
        return await self.store.read(activating.active)

    async def activate(self, order: ActivationOrder, /) -> Activated:
        """Makes a revision the one that decides: from the commit on no replica authorizes by another."""
        return await self.store.commit(partial(activating.activate, order=order, denying=self.store.denying))


def _matching(digits: str, connection: Connection) -> Sequence[PublishedRevision]:
    """Returns the first two revisions that begin so."""
    rows = connection.execute(_MATCHING, {"digits": digits, "length": len(digits)}).mappings()
    return [published_of(dict(row)) for row in rows]


def _listed(before: int | None, limit: int, connection: Connection) -> Sequence[PublishedRevision]:
    """Returns a page of revisions."""
    query = select(policy_revisions).order_by(policy_revisions.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(policy_revisions.c.number < before)
    return [published_of(dict(row)) for row in connection.execute(query).mappings()]


def _activations(revision: str | None, limit: int, connection: Connection) -> Sequence[Activation]:
    """Returns the newest activations."""
    query = select(policy_activations).order_by(policy_activations.c.number.desc()).limit(limit)
    if revision is not None:
        query = query.where(policy_activations.c.revision == revision)
    return [activation_of(dict(row)) for row in connection.execute(query).mappings()]
