"""Holds the audit chain to checkpoints of it that were kept elsewhere."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from remit_server.adapters.database.schema.tables import audit_events
from remit_server.domain.audit import GENESIS, ChainBroken


def wrong_by_checkpoints(checkpoints: Mapping[int, str], connection: Connection) -> ChainBroken | None:
    """Names the first record that is not the one that was kept elsewhere; whether the rest fits them is the chain's."""
    for place in sorted(checkpoints):
        query = select(audit_events.c.event_hash).where(audit_events.c.sequence == place)
        found = GENESIS if place == 0 else connection.execute(query).scalar()
        if found is None:
            return ChainBroken(place, "the record is missing: a checkpoint that was kept elsewhere names it")
        if found != checkpoints[place]:
            return ChainBroken(place, "it, or one before it, is not the record that a checkpoint kept elsewhere names")
    return None
