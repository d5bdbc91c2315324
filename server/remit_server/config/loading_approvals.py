"""Makes the settings of approvals."""

from datetime import timedelta

from remit_server.config.approval_settings import ApprovalSettings
from remit_server.config.approval_shapes import ApprovalTable


def approvals(item: ApprovalTable | None) -> ApprovalSettings:
    """Returns how long people are waited for."""
    item = item or ApprovalTable()
    return ApprovalSettings(lapse=timedelta(seconds=item.lapse_seconds))
