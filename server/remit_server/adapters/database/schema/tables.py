"""The tables of the ledger, as SQLAlchemy Core metadata; `migrations/` builds the same.

Those of revocation and of approvals stand in files of their own. No column holds a token, a credential or a private
key. Lists and maps are canonical JSON text, times are UTC text of
one fixed width, so that both databases compare and sort them alike.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# In SQLite only INTEGER makes the primary key the place of the row itself.
Sequence = BigInteger().with_variant(Integer, "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """A time as `2026-11-23T12:30:45.000000+00:00`; refuses any that is not UTC."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Any) -> Callable[[datetime | None], str | None]:
        """Returns what makes the text of a time."""
        del dialect
        return _text

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[str | None], datetime | None]:
        """Returns what makes the time of a text; it raises ValueError for any other text."""
        del dialect, coltype
        return _time


def _text(time: datetime | None) -> str | None:
    return None if time is None else utc_text(time)


def _time(text: str | None) -> datetime | None:
    return None if text is None else utc_time(text)


def utc_text(time: datetime) -> str:
    """Returns the one text of a UTC time; raises ValueError for a time that is not UTC."""
    if time.tzinfo is not UTC:
        if time.utcoffset() != timedelta(0):
            raise ValueError("times are kept in UTC")
        time = time.astimezone(UTC)
    return time.isoformat(timespec="microseconds")


def utc_time(text: str) -> datetime:
    """Returns the time that `utc_text` wrote; raises ValueError for every other spelling."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None or utc_text(time) != text:
        raise ValueError("not a time as the ledger writes it")
    return time


def index_of_few(*columns: str) -> Index:
    """Returns an index of the rows that have a value in the first of these columns, where most rows have none.

    A row without one costs it nothing: no page of it is written with that row.
    """
    there = text(f"{columns[0]} IS NOT NULL")
    return Index(None, *columns, sqlite_where=there, postgresql_where=there)


tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Text, primary_key=True),
    Column("subject_issuer", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("start_time", UtcTime, nullable=False),
    Column("end_time", UtcTime, nullable=False),
    Column("grants_so_far", Integer, nullable=False),
    # What ending it answered, so that a repeat hears the same.
    Column("ended_time", UtcTime),
    Column("ended_grants", Text),
    Column("credentials_until", UtcTime),
    Column("ended_denying", Boolean(create_constraint=False), nullable=False, server_default=false()),
    # With a lease the task ends when nobody keeps it for `lease_seconds`.
    Column("lease_seconds", Integer),
    Column("lease_until", UtcTime),
    # The task under which it was handed on to another agent, and how many tasks there are above it.
    Column("parent_task_id", Text),
    Column("depth", Integer, nullable=False, server_default="0"),
    index_of_few("lease_until"),
    index_of_few("parent_task_id"),
    CheckConstraint("(state = 'ENDED') = (ended_time IS NOT NULL)", name="ended"),
)

grants = Table(
    "grants",
    metadata,
    Column("grant_id", Text, primary_key=True),
    Column("task_id", Text, ForeignKey("tasks.task_id"), nullable=False),
    Column("subject_issuer", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_time", UtcTime, nullable=False),
    Column("role_arn", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("session_policy", Text, nullable=False),
    Column("session_policy_digest", Text, nullable=False),
    Column("entitlements", Text, nullable=False),
    Column("policy_revision", Text, nullable=False),
    Column("ceiling_digest", Text, nullable=False),
    Column("source_identity", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("issue_time", UtcTime, nullable=False),
    Column("expire_time", UtcTime, nullable=False),
    Column("unguarded", Text, nullable=False),
    Column("outlives_task", Boolean(create_constraint=False), nullable=False),
    Column("revoke_time", UtcTime),
    # What was asked for, as renewing it decides about again; empty where an earlier version did not keep it.
    Column("intent", Text, nullable=False, server_default=""),
    Column("requested_seconds", Integer),
    Column("narrow", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("offline_renewal", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("break_glass", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("approval_id", Text),
    # The grant within which it lies, and with which it is revoked, and that one's task.
    Column("parent_grant_id", Text),
    Column("parent_task_id", Text),
    # Copied from the role and the tags for looking up.
    Column("account", Text, nullable=False, server_default=""),
    Column("subject_part", Text, nullable=False, server_default=""),
    Column("actor_part", Text, nullable=False, server_default=""),
    # A renewal was authorized then, and has no outcome yet.
    Column("renewing_time", UtcTime),
    Column("revocation_id", Text),
    Column("revoke_cause", Text),
    Column("effective_time", UtcTime),
    Column("effective", Text),
    Index(None, "task_id"),
    Index(None, "state", "expire_time"),
    Index(None, "state", "state_time"),
    # By time and not by state, so that a revoke of many need not move them in every index.
    Index(None, "subject_id", "subject_issuer", "expire_time"),
    Index(None, "actor_id", "expire_time"),
    Index(None, "policy_revision", "expire_time"),
    Index(None, "source_identity", "subject_issuer"),
    Index(None, "issue_time", "grant_id"),
    index_of_few("revocation_id"),
    index_of_few("approval_id"),
    index_of_few("parent_grant_id", "expire_time"),
    index_of_few("renewing_time"),
)

issuances = Table(
    "issuances",
    metadata,
    Column("number", Sequence, primary_key=True),
    Column("grant_id", Text, ForeignKey("grants.grant_id"), nullable=False),
    Column("access_key_id", Text, nullable=False),
    Column("session_policy_digest", Text, nullable=False),
    Column("policy_revision", Text, nullable=False),
    Column("issue_time", UtcTime, nullable=False),
    Column("expire_time", UtcTime, nullable=False),
    Column("packed_policy_percent", Integer),
    Index(None, "grant_id"),
    Index(None, "access_key_id"),
    Index(None, "policy_revision", "expire_time"),
)

requests = Table(
    "requests",
    metadata,
    Column("actor_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("grant_id", Text, ForeignKey("grants.grant_id")),
    Column("refusal", Text),
    Column("write_time", UtcTime, nullable=False),
    PrimaryKeyConstraint("actor_id", "request_id"),
    Index(None, "grant_id", unique=True),
    CheckConstraint("grant_id IS NOT NULL OR refusal IS NOT NULL", name="answered"),
)

single_use_tokens = Table(
    "single_use_tokens",
    metadata,
    Column("issuer", Text, nullable=False),
    Column("jti", Text, nullable=False),
    Column("task_id", Text, ForeignKey("tasks.task_id"), nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("write_time", UtcTime, nullable=False),
    PrimaryKeyConstraint("issuer", "jti"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=False),
    Column("time", UtcTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("event_hash", Text, nullable=False),
    # Copied from the body for looking up; verifying holds it to the body.
    Column("task_id", Text, nullable=False),
    Index(None, "task_id", "sequence"),
)

# What every process hears of, in the order of the chain; pruned after an hour.
signals = Table(
    "signals",
    metadata,
    Column("sequence", Sequence, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("time", UtcTime, nullable=False),
)

# What records name by digest: inputs, circumstances and decisions, and the ceilings of configurations. `time` is about
# when it was last used; what was not for long is erased, and the chain stays whole.
audit_texts = Table(
    "audit_texts",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("time", UtcTime, nullable=False),
    Index(None, "time"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", Sequence, nullable=False),
    Column("hash", Text, nullable=False),
    CheckConstraint("id = 1", name="single"),
)
