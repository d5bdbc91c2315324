"""Takes one person's yes or no about exactly what they were shown."""

from collections.abc import Callable
from dataclasses import dataclass

from remit_server.application.approvals.eligibility import check_may_decide, groups_asked, known_as
from remit_server.application.approvals.on_record import on_record
from remit_server.application.approvals.ports import Approvals
from remit_server.application.approvals.show_approvals import ShowApprovals
from remit_server.application.ports import Clock
from remit_server.domain.approval import Approval, ApprovalKind, ApprovalState, Vote
from remit_server.domain.operator import Operator

METHOD = "DecideApproval"


@dataclass(frozen=True, slots=True)
class Decision:
    """What an approver sends: which approval, the digest of what they were shown, yes or no, and why."""

    approval_id: str
    digest: str
    approve: bool
    comment: str = ""


@dataclass(frozen=True, slots=True)
class DecideApproval:
    """Lets people decide, each of them once, and only those whom the entitlement names.

    `wake` tells the writer of this process that AWS has something to be told.
    """

    approvals: Approvals
    show: ShowApprovals
    clock: Clock
    wake: Callable[[], None] = lambda: None

    async def __call__(self, operator: Operator, decision: Decision) -> Approval:
        """Returns the approval as it stands after that.

        Raises Denied: NOT_FOUND for whoever may not see it, NOT_AUTHORIZED for whoever may not decide it, and
        APPROVAL_REFUSED, APPROVAL_DECIDED, APPROVAL_LAPSED or APPROVAL_CHANGED when it is too late for that.
        """
        async with on_record(self.approvals, operator, METHOD, decision.approval_id, also_done=False):
            return await self._decided(operator, decision)

    async def _decided(self, operator: Operator, decision: Decision) -> Approval:
        """Checks who decides, and writes the vote."""
        approval = await self.show.seen(operator, decision.approval_id, method=METHOD)
        now = self.clock.now()
        check_may_decide(operator, approval, approve=decision.approve, now=now)
        vote = Vote(
            approver_issuer=operator.issuer,
            approver_id=operator.subject,
            approved=decision.approve,
            comment=decision.comment,
            time=now,
            groups=groups_asked(operator, approval),
            handles=known_as(operator),
        )
        after = (await self.approvals.decide(decision.approval_id, decision.digest, vote)).at(now)
        if after.kind is ApprovalKind.REVIEW and after.state is ApprovalState.REFUSED:
            self.wake()
        return after
