"""Tasks under tasks, and grants within grants.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds what a task and a grant stand under."""
    op.add_column("tasks", sa.Column("parent_task_id", sa.Text))
    op.add_column("tasks", sa.Column("depth", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_tasks_parent_task_id", "tasks", ["parent_task_id"])
    op.add_column("grants", sa.Column("parent_grant_id", sa.Text))
    op.add_column("grants", sa.Column("parent_task_id", sa.Text))
    op.create_index("ix_grants_parent_grant_id_expire_time", "grants", ["parent_grant_id", "expire_time"])
    op.create_table(
        "delegations",
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("write_time", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "request_id", name="pk_delegations"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.task_id"], name="fk_delegations_task_id"),
    )
