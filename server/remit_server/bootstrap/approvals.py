"""Wires what approvers call."""

from collections.abc import Callable

from remit_server.adapters.database.approvals.approvals import DatabaseApprovals
from remit_server.application.approvals.decide_approval import DecideApproval
from remit_server.application.approvals.show_approvals import ShowApprovals
from remit_server.application.oversight.admitting import OperatorAdmission
from remit_server.bootstrap.oversight import Oversight
from remit_server.transport.grpc.approval_service import STREAMS, ApprovalService
from remit_server.transport.grpc.server import Offered


def let_people_decide(
    oversight: Oversight,
    door: Callable[[str, frozenset[str]], OperatorAdmission],
    *,
    wake: Callable[[], None] = lambda: None,
) -> Offered:
    """Returns ApprovalService; `wake` tells whoever writes to AWS that a review revoked something."""
    approvals = DatabaseApprovals(oversight.ledger.store)
    show = ShowApprovals(approvals, oversight.authorize.sees_everything, oversight.clock)
    decide = DecideApproval(approvals, show, oversight.clock, wake)
    return ApprovalService(door("ApprovalService", STREAMS), show, decide).offered
