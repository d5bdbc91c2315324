"""Indexes of what few rows have hold those rows alone, so that the others are written without them.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_OF_FEW = (
    ("tasks", ("lease_until",)),
    ("tasks", ("parent_task_id",)),
    ("grants", ("revocation_id",)),
    ("grants", ("approval_id",)),
    ("grants", ("parent_grant_id", "expire_time")),
    ("grants", ("renewing_time",)),
)


def upgrade() -> None:
    """Makes these indexes anew."""
    for table, columns in _OF_FEW:
        name, there = f"ix_{table}_{'_'.join(columns)}", sa.text(f"{columns[0]} IS NOT NULL")
        op.drop_index(name, table)
        op.create_index(name, table, list(columns), sqlite_where=there, postgresql_where=there)
