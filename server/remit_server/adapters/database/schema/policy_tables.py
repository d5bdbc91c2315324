"""The tables behind policy revisions: every published bundle, which one is active since when, and what is in shadow."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from remit_server.adapters.database.schema.tables import Sequence, UtcTime, metadata

# Every bundle that was published; `number` is the order of publishing.
policy_revisions = Table(
    "policy_revisions",
    metadata,
    Column("number", Sequence, primary_key=True),
    Column("revision", Text, nullable=False),
    Column("publish_time", UtcTime, nullable=False),
    Column("publisher", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("size", Integer, nullable=False),
    # What its manifest says of when it was made, and who signed it; empty where it does not say.
    Column("built_time", UtcTime),
    Column("signed_by", Text, nullable=False),
    Column("rule_files", Integer, nullable=False),
    Column("capabilities", Integer, nullable=False),
    Column("entitlements", Integer, nullable=False),
    Index("uq_policy_revisions_revision", "revision", unique=True),
)

# Its files as one archive, byte for byte as they were published, in parts: written at once, 64 MiB would keep every
# other writer waiting for longer than the ledger is waited for.
policy_archives = Table(
    "policy_archives",
    metadata,
    Column("revision", Text, ForeignKey("policy_revisions.revision"), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

# The last row is what decides, on every replica; rows are added and never changed.
policy_activations = Table(
    "policy_activations",
    metadata,
    Column("number", Sequence, primary_key=True),
    Column("revision", Text, ForeignKey("policy_revisions.revision"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("revocation_id", Text),
    Index(None, "revision"),
)

# The candidate that decides beside the active revision, if there is one.
policy_shadows = Table(
    "policy_shadows",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", Text, ForeignKey("policy_revisions.revision"), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("by", Text, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

# What a candidate in shadow answered, counted by how that differs from what the active revision answered.
shadow_counts = Table(
    "shadow_counts",
    metadata,
    Column("candidate", Text, primary_key=True),
    Column("active", Text, primary_key=True),
    Column("difference", Text, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("example", Text, nullable=False),
    Column("first_time", UtcTime, nullable=False),
    Column("last_time", UtcTime, nullable=False),
)
