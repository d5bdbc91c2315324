"""Tells what has been before a source's offer (implements `SeePolicies`): one look, in one transaction."""

from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, case, exists, func, select

from remit_server.adapters.database.policies.activating import active
from remit_server.adapters.database.schema.policy_tables import policy_activations, policy_revisions
from remit_server.adapters.database.writing.store import Store
from remit_server.application.policy.following.offers import Seen
from remit_server.domain.policy_revision import ActivationKind

_WAS_ACTIVE: Final = select(exists().where(policy_activations.c.revision == bindparam("revision")))
# NOTE: nothing is built after it is published, whatever its manifest says. One of the year 9999, published by a person
# and activated, would else have every later offer refused as older, for ever.
_built: Final = case(
    (policy_revisions.c.built_time > policy_revisions.c.publish_time, policy_revisions.c.publish_time),
    else_=policy_revisions.c.built_time,
)
_NEWEST: Final = select(func.max(_built)).where(
    exists().where(policy_activations.c.revision == policy_revisions.c.revision)
)


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """Reads what is active, and what ever was."""

    store: Store

    async def __call__(self, revision: str, /) -> Seen:
        """Returns what is active, whether this revision ever was, and when the newest that ever was had been built."""
        return await self.store.read(partial(_seen, revision))


def _seen(revision: str, connection: Connection) -> Seen:
    """Returns the same on a connection."""
    now = active(connection)
    was_active = bool(connection.execute(_WAS_ACTIVE, {"revision": revision}).scalar())
    return Seen(
        active=now.revision if now is not None else "",
        by_person=now is not None and now.kind is not ActivationKind.ADOPTED,
        newest_built_time=connection.execute(_NEWEST).scalar(),
        ever_active=frozenset({revision}) if was_active else frozenset(),
    )
