"""The first ledger: tasks, grants, issuances, requests, tied tokens, and the audit chain with its head."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
GENESIS = "0" * 64


def upgrade() -> None:
    """Creates every table of the first version."""
    _work()
    _answers()
    _audit()


def _work() -> None:
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("subject_issuer", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("start_time", sa.Text, nullable=False),
        sa.Column("end_time", sa.Text, nullable=False),
        sa.Column("grants_so_far", sa.Integer, nullable=False),
        sa.Column("ended_time", sa.Text),
        sa.Column("ended_grants", sa.Text),
        sa.Column("credentials_until", sa.Text),
        sa.PrimaryKeyConstraint("task_id", name="pk_tasks"),
        sa.CheckConstraint("(state = 'ENDED') = (ended_time IS NOT NULL)", name=op.f("ck_tasks_ended")),
    )
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("subject_issuer", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("state_time", sa.Text, nullable=False),
        sa.Column("role_arn", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("session_policy", sa.Text, nullable=False),
        sa.Column("session_policy_digest", sa.Text, nullable=False),
        sa.Column("entitlements", sa.Text, nullable=False),
        sa.Column("policy_revision", sa.Text, nullable=False),
        sa.Column("ceiling_digest", sa.Text, nullable=False),
        sa.Column("source_identity", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("issue_time", sa.Text, nullable=False),
        sa.Column("expire_time", sa.Text, nullable=False),
        sa.Column("unguarded", sa.Text, nullable=False),
        sa.Column("outlives_task", sa.Boolean, nullable=False),
        sa.Column("revoke_time", sa.Text),
        sa.PrimaryKeyConstraint("grant_id", name="pk_grants"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_grants_task_id"),
    )
    op.create_index("ix_grants_task_id", "grants", ["task_id"])
    op.create_index("ix_grants_state_expire_time", "grants", ["state", "expire_time"])
    op.create_index("ix_grants_state_state_time", "grants", ["state", "state_time"])
    op.create_table(
        "issuances",
        sa.Column("number", SEQUENCE, nullable=False),
        sa.Column("grant_id", sa.Text, nullable=False),
        sa.Column("access_key_id", sa.Text, nullable=False),
        sa.Column("session_policy_digest", sa.Text, nullable=False),
        sa.Column("policy_revision", sa.Text, nullable=False),
        sa.Column("issue_time", sa.Text, nullable=False),
        sa.Column("expire_time", sa.Text, nullable=False),
        sa.Column("packed_policy_percent", sa.Integer),
        sa.PrimaryKeyConstraint("number", name="pk_issuances"),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.grant_id"], name="fk_issuances_grant_id"),
    )
    op.create_index("ix_issuances_grant_id", "issuances", ["grant_id"])
    op.create_index("ix_issuances_access_key_id", "issuances", ["access_key_id"])


def _answers() -> None:
    op.create_table(
        "requests",
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("grant_id", sa.Text),
        sa.Column("refusal", sa.Text),
        sa.Column("write_time", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "request_id", name="pk_requests"),
        sa.CheckConstraint("grant_id IS NOT NULL OR refusal IS NOT NULL", name=op.f("ck_requests_answered")),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.grant_id"], name="fk_requests_grant_id"),
    )
    op.create_index("ix_requests_grant_id", "requests", ["grant_id"], unique=True)
    op.create_table(
        "single_use_tokens",
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("jti", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("write_time", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "jti", name="pk_single_use_tokens"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_single_use_tokens_task_id"),
    )


def _audit() -> None:
    op.create_table(
        "audit_events",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("event_hash", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_task_id_sequence", "audit_events", ["task_id", "sequence"])
    op.create_table(
        "audit_inputs",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_audit_inputs"),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("sequence", SEQUENCE, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_single")),
    )
    op.bulk_insert(head, [{"id": 1, "sequence": 0, "hash": GENESIS}])
