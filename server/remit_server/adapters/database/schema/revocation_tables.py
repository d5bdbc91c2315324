"""The tables behind revoking: what was revoked and is blocked, what AWS must be told, and who of several tells it."""

from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, false

from remit_server.adapters.database.schema.tables import Sequence, UtcTime, metadata

revocations = Table(
    "revocations",
    metadata,
    Column("revocation_id", Text, primary_key=True),
    Column("target", Text, nullable=False),
    Column("target_key", Text, nullable=False),
    Column("target_issuer", Text, nullable=False),
    Column("revoke_time", UtcTime, nullable=False),
    Column("cause", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("grant_count", Integer, nullable=False),
    Column("block", Boolean(create_constraint=False), nullable=False),
    Column("lift_time", UtcTime),
    # When it happened at the identity provider, of a security event.
    Column("event_time", UtcTime),
    Index(None, "target_key", "target", "revoke_time"),
    Index(None, "block", "lift_time", "revoke_time"),
)

# The outbox: denies that AWS must be told (domain/revocation.py, SessionDeny).
denies = Table(
    "denies",
    metadata,
    Column("number", Sequence, primary_key=True),
    Column("revocation_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("pattern", Text, nullable=False),
    Column("subject_part", Text, nullable=False),
    Column("issued_before", UtcTime),
    Column("last_issued", UtcTime, nullable=False),
    Column("covers_until", UtcTime, nullable=False),
    Column("required", Boolean(create_constraint=False), nullable=False),
    Column("revoke_time", UtcTime, nullable=False),
    Column("write_time", UtcTime),
    Column("assumed_by", UtcTime),
    Column("effective_time", UtcTime),
    Column("no_room", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Index(None, "account", "covers_until"),
    Index(None, "revocation_id"),
)

# Work that one process of all does: whoever holds its name, until then.
holds = Table(
    "holds",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", UtcTime, nullable=False),
)

# One row: when a gateway was last seen serving. Leases do not run while there is none.
presence = Table(
    "presence",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seen_time", UtcTime, nullable=False),
)

# Security events that were heard of, so that none counts twice.
seen_events = Table(
    "seen_events",
    metadata,
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("until", UtcTime, nullable=False),
    PrimaryKeyConstraint("source", "event_id"),
    Index(None, "until"),
)
