"""The table of the requests by which agents handed tasks on."""

from sqlalchemy import Column, ForeignKey, PrimaryKeyConstraint, Table, Text

from remit_server.adapters.database.schema.tables import UtcTime, metadata

# A repeat of a request is answered with the task that it opened.
delegations = Table(
    "delegations",
    metadata,
    Column("actor_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("task_id", Text, ForeignKey("tasks.task_id"), nullable=False),
    Column("write_time", UtcTime, nullable=False),
    PrimaryKeyConstraint("actor_id", "request_id"),
)
