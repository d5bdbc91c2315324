"""Finds the files of a published revision in a ledger, or a copy of one, that is open for reading."""

from sqlalchemy import Connection, select

from remit_server.adapters.database.reading.own_reader import Reads
from remit_server.adapters.database.schema.policy_tables import policy_revisions
from remit_server.domain.errors import Denied, Reason


async def archive_of(reader: Reads, digits: str) -> bytes:
    """Returns the archive of the one revision whose digest begins so; raises Denied(NOT_FOUND), and Outage."""
    query = (
        select(policy_revisions.c.archive)
        .where(policy_revisions.c.revision.startswith(digits, autoescape=True))
        .order_by(policy_revisions.c.revision)
        .limit(2)
    )

    def found(connection: Connection) -> list[bytes]:
        return [bytes(one) for one in connection.execute(query).scalars()]

    match await reader.read(found):
        case [archive]:
            return archive
        case []:
            raise Denied(Reason.NOT_FOUND, f"no revision that begins with {digits} was published to this ledger")
        case _:
            raise Denied(Reason.NOT_FOUND, f"several revisions begin with {digits}: give more digits")
