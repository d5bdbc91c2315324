"""Policy revisions: published bundles, activations, shadows; texts beside the chain, with the time of their last use.

Revision ID: 0003
Revises: 0002
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Adds the tables of policy revisions, and gives what is kept beside the chain a time."""
    _texts()
    _revisions()
    _shadows()


def _texts() -> None:
    op.create_table(
        "audit_texts",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_audit_texts"),
    )
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    copy = sa.text("INSERT INTO audit_texts (digest, text, time) SELECT digest, text, :now FROM audit_inputs")
    op.execute(copy.bindparams(now=now))
    op.drop_table("audit_inputs")
    op.create_index("ix_audit_texts_time", "audit_texts", ["time"])


def _revisions() -> None:
    op.create_table(
        "policy_revisions",
        sa.Column("number", SEQUENCE, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("publish_time", sa.Text, nullable=False),
        sa.Column("publisher", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("built_time", sa.Text),
        sa.Column("signed_by", sa.Text, nullable=False),
        sa.Column("rule_files", sa.Integer, nullable=False),
        sa.Column("capabilities", sa.Integer, nullable=False),
        sa.Column("entitlements", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_policy_revisions"),
    )
    op.create_index("uq_policy_revisions_revision", "policy_revisions", ["revision"], unique=True)
    op.create_table(
        "policy_archives",
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("revision", "part", name="pk_policy_archives"),
        sa.ForeignKeyConstraint(["revision"], ["policy_revisions.revision"], name="fk_policy_archives_revision"),
    )
    op.create_table(
        "policy_activations",
        sa.Column("number", SEQUENCE, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("revocation_id", sa.Text),
        sa.PrimaryKeyConstraint("number", name="pk_policy_activations"),
        sa.ForeignKeyConstraint(["revision"], ["policy_revisions.revision"], name="fk_policy_activations_revision"),
    )
    op.create_index("ix_policy_activations_revision", "policy_activations", ["revision"])


def _shadows() -> None:
    op.create_table(
        "policy_shadows",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policy_shadows"),
        sa.ForeignKeyConstraint(["revision"], ["policy_revisions.revision"], name="fk_policy_shadows_revision"),
        sa.CheckConstraint("id = 1", name="ck_policy_shadows_single"),
    )
    op.create_table(
        "shadow_counts",
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("active", sa.Text, nullable=False),
        sa.Column("difference", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("example", sa.Text, nullable=False),
        sa.Column("first_time", sa.Text, nullable=False),
        sa.Column("last_time", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("candidate", "active", "difference", name="pk_shadow_counts"),
    )
