"""The tables behind approvals: what people are asked, what they said, and whom it has to be told."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, Text

from remit_server.adapters.database.schema.tables import Sequence, UtcTime, metadata

approvals = Table(
    "approvals",
    metadata,
    Column("approval_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("task_id", Text, ForeignKey("tasks.task_id"), nullable=False),
    Column("subject_issuer", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("subject_handles", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("session_policy", Text, nullable=False),
    Column("role_arn", Text, nullable=False),
    Column("entitlements", Text, nullable=False),
    Column("adds", Text, nullable=False),
    Column("duration_seconds", Integer, nullable=False),
    # Who has to say yes: `[[groups, how many], ...]`, and whether the subject does.
    Column("requirements", Text, nullable=False),
    Column("by_subject", Boolean(create_constraint=False), nullable=False),
    Column("valid_seconds", Integer, nullable=False),
    Column("policy_revision", Text, nullable=False),
    Column("create_time", UtcTime, nullable=False),
    Column("lapse_time", UtcTime, nullable=False),
    Column("decide_time", UtcTime),
    Column("valid_until", UtcTime),
    Index(None, "task_id", "digest", "state"),
    Index(None, "state", "lapse_time"),
    Index(None, "subject_id", "actor_id", "state"),
    Index(None, "create_time", "approval_id"),
)

approval_votes = Table(
    "approval_votes",
    metadata,
    Column("approval_id", Text, ForeignKey("approvals.approval_id"), nullable=False),
    Column("approver_issuer", Text, nullable=False),
    Column("approver_id", Text, nullable=False),
    Column("approved", Boolean(create_constraint=False), nullable=False),
    Column("comment", Text, nullable=False),
    Column("time", UtcTime, nullable=False),
    # Which of the approval's groups the person was in, and fingerprints of what the person is known by.
    Column("groups", Text, nullable=False),
    Column("handles", Text, nullable=False),
    PrimaryKeyConstraint("approval_id", "approver_issuer", "approver_id"),
)

# The outbox of notifications: a row for each receiver, until it took the message or was given up on.
notifications = Table(
    "notifications",
    metadata,
    Column("number", Sequence, primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("create_time", UtcTime, nullable=False),
    Column("next_time", UtcTime),
    Column("attempts", Integer, nullable=False),
    Column("deliver_time", UtcTime),
    Index(None, "next_time"),
)
