"""What approvals need from outside."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remit_server.application.ports import Authorization, Presented
from remit_server.domain.approval import Approval, Vote
from remit_server.domain.audit import AuditRecord
from remit_server.domain.lifecycle_records import ApprovalAsked
from remit_server.domain.operator import Operator
from remit_server.domain.task import TaskId

MaySeeAll = Callable[[Operator, str], Awaitable[bool]]  # what `data.remit.admin` says of a caller and an RPC


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: after the approval of this id, asked then; newest first."""

    create_time: datetime
    approval_id: str


class Approvals(Protocol):
    """Approvals as the ledger keeps them. Each call is one transaction, as those of `application.ports.Ledger` are."""

    async def approval(self, approval_id: str, /) -> Approval | None:
        """Returns the approval with its votes, or None; who may see it must still be checked."""
        ...

    async def listed(self, *, waiting: bool, after: Place | None, at_most: int) -> tuple[Approval, ...]:
        """Returns approvals, newest first; with `waiting` only those that people have yet to decide."""
        ...

    async def policies_of(self, task_id: TaskId, /) -> tuple[str, ...]:
        """Returns the session policies of what the task already has."""
        ...

    async def ask(self, authorization: Authorization, approval: Approval, record: ApprovalAsked, /) -> Approval:
        """Writes task, grant (PENDING_APPROVAL), request, token tie, input, records and the approval.

        Where the task has an equal one that waits, the grant waits for that one, which is then returned. Raises what
        `Ledger.authorize` raises, and Outage(RATE_LIMITED) when too many wait for the subject and actor.
        """
        ...

    async def decide(self, approval_id: str, digest: str, vote: Vote, /) -> Approval:
        """Adds a vote of somebody who may decide, at the time of the transaction, and what follows from it.

        A no moves the grants that wait to REFUSED; at a review it revokes the grant. Raises Denied(APPROVAL_REFUSED |
        APPROVAL_DECIDED | APPROVAL_LAPSED | APPROVAL_CHANGED), or NOT_FOUND.
        """
        ...

    async def void(self, approval_id: str, why: str, presented: Presented, /) -> None:
        """Closes an approval that waits or was not used: what would be issued is not what was shown.

        Raises PolicyChanged when another revision is active than the one that decides so: it may decide otherwise.
        """
        ...

    async def record(self, record: AuditRecord, /) -> None:
        """Appends one record to the chain."""
        ...
