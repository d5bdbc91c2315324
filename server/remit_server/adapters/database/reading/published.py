"""Finds the files of a published revision in a ledger, or a copy of one, that is open for reading."""

from functools import partial

from sqlalchemy import Connection, select

from remit_server.adapters.database.policies.publishing import archive_of
from remit_server.adapters.database.reading.own_reader import Reads
from remit_server.adapters.database.schema.policy_tables import policy_revisions
from remit_server.domain.errors import Denied, Reason


async def published_archive(reader: Reads, digits: str) -> bytes:
    """Returns the archive of the one revision whose digest begins so; raises Denied(NOT_FOUND), and Outage."""
    match await reader.read(partial(_archives, digits)):
        case [bytes() as archive]:
            return archive
        case [_, *_]:
            raise Denied(Reason.NOT_FOUND, f"several revisions begin with {digits}: give more digits")
        case _:
            raise Denied(Reason.NOT_FOUND, f"no revision that begins with {digits} was published to this ledger")


def _archives(digits: str, connection: Connection) -> list[bytes | None]:
    """Returns the archive of the revision; of two that begin so neither's is read."""
    query = (
        select(policy_revisions.c.revision)
        .where(policy_revisions.c.revision.startswith(digits, autoescape=True))
        .order_by(policy_revisions.c.revision)
        .limit(2)
    )
    found = list(connection.execute(query).scalars())
    return [archive_of(connection, found[0])] if len(found) == 1 else [None for _ in found]
