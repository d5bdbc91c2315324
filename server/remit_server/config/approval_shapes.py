"""The tables of approvals: `[approvals]`."""

from remit_server.config.table_shape import Table, key


class ApprovalTable(Table):
    """`[approvals]`: how long people are waited for."""

    lapse_seconds: int = key(
        "How long an approval waits for people at most.", "lapse_seconds = 3600", 3600, ge=60, le=604_800
    )
