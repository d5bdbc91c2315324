"""Gone with the task: renewals, leases, revokes and what AWS is told of them, approvals, signals between processes."""

import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _flag(name: str) -> "sa.Column[bool]":
    """Returns a column that is false unless something else is said."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def upgrade() -> None:
    """Adds what the second version keeps, and fills in what it looks up of grants that are not over."""
    _more_of_tasks_and_grants()
    _fill_in()
    _revoking()
    _between_processes()
    _approvals()


def _more_of_tasks_and_grants() -> None:
    op.add_column("tasks", _flag("ended_denying"))
    op.add_column("tasks", sa.Column("lease_seconds", sa.Integer))
    op.add_column("tasks", sa.Column("lease_until", sa.Text))
    op.create_index("ix_tasks_lease_until", "tasks", ["lease_until"])
    op.add_column("grants", sa.Column("intent", sa.Text, nullable=False, server_default=""))
    op.add_column("grants", sa.Column("requested_seconds", sa.Integer))
    for name in ("narrow", "offline_renewal", "break_glass"):
        op.add_column("grants", _flag(name))
    op.add_column("grants", sa.Column("approval_id", sa.Text))
    for name in ("account", "subject_part", "actor_part"):
        op.add_column("grants", sa.Column(name, sa.Text, nullable=False, server_default=""))
    for name in ("renewing_time", "revocation_id", "revoke_cause", "effective_time", "effective"):
        op.add_column("grants", sa.Column(name, sa.Text))
    for columns in (
        ["subject_id", "subject_issuer", "expire_time"],
        ["actor_id", "expire_time"],
        ["policy_revision", "expire_time"],
        ["issue_time", "grant_id"],
        ["revocation_id"],
        ["approval_id"],
        ["renewing_time"],
        ["source_identity", "subject_issuer"],
    ):
        op.create_index(f"ix_grants_{'_'.join(columns)}", "grants", columns)
    op.create_index("ix_issuances_policy_revision_expire_time", "issuances", ["policy_revision", "expire_time"])


def _fill_in() -> None:
    """Copies account and tag parts of the grants whose credentials may still work: nothing asks for them of others."""
    connection = op.get_bind()
    live = sa.text(
        "SELECT grant_id, role_arn, tags FROM grants WHERE state IN ('AUTHORIZED', 'ISSUED', 'REVOKING', 'FAILED')"
    )
    fill = sa.text(
        "UPDATE grants SET account = :account, subject_part = :subject, actor_part = :actor WHERE grant_id = :grant_id"
    )
    for grant_id, role_arn, tags in connection.execute(live).all():
        found = dict(json.loads(tags))
        parts = {
            "grant_id": grant_id,
            "account": role_arn.split(":")[4],
            "subject": found.get("remit:grant", "").partition(".")[0],
            "actor": found.get("remit:by", "").partition(".")[0],
        }
        connection.execute(fill, parts)


def _revoking() -> None:
    op.create_table(
        "revocations",
        sa.Column("revocation_id", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("target_key", sa.Text, nullable=False),
        sa.Column("target_issuer", sa.Text, nullable=False),
        sa.Column("revoke_time", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("grant_count", sa.Integer, nullable=False),
        sa.Column("block", sa.Boolean, nullable=False),
        sa.Column("lift_time", sa.Text),
        sa.Column("event_time", sa.Text),
        sa.PrimaryKeyConstraint("revocation_id", name="pk_revocations"),
    )
    op.create_index(
        "ix_revocations_target_key_target_revoke_time", "revocations", ["target_key", "target", "revoke_time"]
    )
    op.create_index("ix_revocations_block_lift_time_revoke_time", "revocations", ["block", "lift_time", "revoke_time"])
    op.create_table(
        "denies",
        sa.Column("number", SEQUENCE, nullable=False),
        sa.Column("revocation_id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("pattern", sa.Text, nullable=False),
        sa.Column("subject_part", sa.Text, nullable=False),
        sa.Column("issued_before", sa.Text),
        sa.Column("last_issued", sa.Text, nullable=False),
        sa.Column("covers_until", sa.Text, nullable=False),
        sa.Column("required", sa.Boolean, nullable=False),
        sa.Column("revoke_time", sa.Text, nullable=False),
        sa.Column("write_time", sa.Text),
        sa.Column("assumed_by", sa.Text),
        sa.Column("effective_time", sa.Text),
        _flag("no_room"),
        sa.PrimaryKeyConstraint("number", name="pk_denies"),
    )
    op.create_index("ix_denies_account_covers_until", "denies", ["account", "covers_until"])
    op.create_index("ix_denies_revocation_id", "denies", ["revocation_id"])


def _between_processes() -> None:
    op.create_table(
        "signals",
        sa.Column("sequence", SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_signals"),
    )
    op.create_table(
        "holds",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_holds"),
    )
    presence = op.create_table(
        "presence",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("seen_time", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_presence"),
    )
    never = datetime(1970, 1, 1, tzinfo=UTC).isoformat(timespec="microseconds")
    op.bulk_insert(presence, [{"id": 1, "seen_time": never}])
    op.create_table(
        "seen_events",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("source", "event_id", name="pk_seen_events"),
    )
    op.create_index("ix_seen_events_until", "seen_events", ["until"])


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("subject_issuer", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("subject_handles", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("session_policy", sa.Text, nullable=False),
        sa.Column("role_arn", sa.Text, nullable=False),
        sa.Column("entitlements", sa.Text, nullable=False),
        sa.Column("adds", sa.Text, nullable=False),
        sa.Column("duration_seconds", sa.Integer, nullable=False),
        sa.Column("requirements", sa.Text, nullable=False),
        sa.Column("by_subject", sa.Boolean, nullable=False),
        sa.Column("valid_seconds", sa.Integer, nullable=False),
        sa.Column("policy_revision", sa.Text, nullable=False),
        sa.Column("create_time", sa.Text, nullable=False),
        sa.Column("lapse_time", sa.Text, nullable=False),
        sa.Column("decide_time", sa.Text),
        sa.Column("valid_until", sa.Text),
        sa.PrimaryKeyConstraint("approval_id", name="pk_approvals"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_approvals_task_id"),
    )
    op.create_index("ix_approvals_task_id_digest_state", "approvals", ["task_id", "digest", "state"])
    op.create_index("ix_approvals_state_lapse_time", "approvals", ["state", "lapse_time"])
    op.create_index("ix_approvals_subject_id_actor_id_state", "approvals", ["subject_id", "actor_id", "state"])
    op.create_index("ix_approvals_create_time_approval_id", "approvals", ["create_time", "approval_id"])
    op.create_table(
        "approval_votes",
        sa.Column("approval_id", sa.Text, nullable=False),
        sa.Column("approver_issuer", sa.Text, nullable=False),
        sa.Column("approver_id", sa.Text, nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("handles", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("approval_id", "approver_issuer", "approver_id", name="pk_approval_votes"),
        sa.ForeignKeyConstraint(["approval_id"], ["approvals.approval_id"], name="fk_approval_votes_approval_id"),
    )
    op.create_table(
        "notifications",
        sa.Column("number", SEQUENCE, nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("create_time", sa.Text, nullable=False),
        sa.Column("next_time", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("deliver_time", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_notifications"),
    )
    op.create_index("ix_notifications_next_time", "notifications", ["next_time"])
