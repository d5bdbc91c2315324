"""The table `[audit]`: how long what decisions rest on is kept."""

from datetime import timedelta

from remit_server.config.table_shape import Table, key


class AuditTable(Table):
    """`[audit]`: the inputs, circumstances and decisions that are kept beside the audit chain."""

    keep_days: int = key(
        "For how many days after its last use a text beside the chain is kept.", "keep_days = 90", 90, ge=31, le=3650
    )


def audit_keep(item: AuditTable | None) -> timedelta:
    """Returns how long a text beside the chain is kept after its last use."""
    return timedelta(days=(item or AuditTable()).keep_days)
