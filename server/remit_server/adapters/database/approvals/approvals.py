"""The `Approvals` port on the one database: written by group commit with everything else."""

from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from remit_server.adapters.database.approvals import approval_operations
from remit_server.adapters.database.schema.approval_tables import approvals
from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing.store import Store
from remit_server.application.approvals.ports import Place
from remit_server.application.ports import Authorization, Presented
from remit_server.domain.approval import Approval, ApprovalState, Vote
from remit_server.domain.audit import AuditRecord
from remit_server.domain.grant import GrantState
from remit_server.domain.lifecycle_records import ApprovalAsked
from remit_server.domain.task import TaskId


class DatabaseApprovals:
    """Keeps approvals in the ledger's database (implements `application.approvals.ports.Approvals`)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._commit = store.commit
        self._read = store.read

    async def approval(self, approval_id: str, /) -> Approval | None:
        """Returns the approval with its votes, or None; who may see it must still be checked."""
        return await self._read(lambda connection: approval_operations.read(connection, approval_id))

    async def listed(self, *, waiting: bool, after: Place | None, at_most: int) -> tuple[Approval, ...]:
        """Returns approvals, newest first; with `waiting` only those that people have yet to decide."""
        return await self._read(partial(_listed, waiting, after, at_most))

    async def policies_of(self, task_id: TaskId, /) -> tuple[str, ...]:
        """Returns the session policies of what the task already has."""
        live = select(grants.c.session_policy).where(
            grants.c.task_id == task_id, grants.c.state == GrantState.ISSUED.value
        )
        return await self._read(
            lambda connection: tuple(connection.execute(live.order_by(grants.c.issue_time)).scalars())
        )

    async def ask(self, authorization: Authorization, approval: Approval, record: ApprovalAsked, /) -> Approval:
        """Writes task, grant (PENDING_APPROVAL), request, token tie, input, records and the approval."""
        return await self._commit(lambda batch: approval_operations.ask(batch, authorization, approval, record))

    async def decide(self, approval_id: str, digest: str, vote: Vote, /) -> Approval:
        """Adds a vote of somebody who may decide, at the time of the transaction, and what follows from it."""
        denying = self._store.denying
        return await self._commit(
            lambda batch: approval_operations.decide(batch, approval_id, digest, vote, denying=denying)
        )

    async def void(self, approval_id: str, why: str, presented: Presented, /) -> None:
        """Closes an approval that waits or was not used: what would be issued is not what was shown."""
        await self._commit(lambda batch: approval_operations.void(batch, approval_id, why, presented))

    async def record(self, record: AuditRecord, /) -> None:
        """Appends one record to the chain."""
        await self._commit(lambda batch: batch.append(record))


def _listed(waiting: bool, after: Place | None, at_most: int, connection: Connection) -> tuple[Approval, ...]:
    """Reads a page of approvals, each with its votes."""
    wanted: list[ColumnElement[bool]] = []
    if waiting:
        wanted.append(approvals.c.state == ApprovalState.PENDING.value)
    if after is not None:
        same_time = and_(approvals.c.create_time == after.create_time, approvals.c.approval_id < after.approval_id)
        wanted.append(or_(approvals.c.create_time < after.create_time, same_time))
    newest_first = (
        select(approvals.c.approval_id)
        .where(*wanted)
        .order_by(approvals.c.create_time.desc(), approvals.c.approval_id.desc())
        .limit(at_most)
    )
    found = [approval_operations.read(connection, one) for one in connection.execute(newest_first).scalars()]
    return tuple(one for one in found if one is not None)
