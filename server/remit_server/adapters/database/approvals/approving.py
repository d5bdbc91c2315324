"""What becomes of approvals, as parts of one operation: used by their grant, lapsed, closed, recalled.

Every state change is a compare-and-set; an approval that is not PENDING or APPROVED never changes again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.schema.approval_rows import approval_row
from remit_server.adapters.database.schema.approval_tables import approvals
from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing.batch import Batch
from remit_server.application.ports import Authorization, Held
from remit_server.domain.approval import Approval, ApprovalKind, ApprovalState, changed, lapsed
from remit_server.domain.errors import RemitError
from remit_server.domain.grant import GrantState, sources_of
from remit_server.domain.lifecycle_records import ApprovalClosed, ReviewOutstanding

REMIND_EVERY: Final = timedelta(days=1)
LAPSED_AT_ONCE: Final = 100
_WAITING: Final = (GrantState.PENDING_APPROVAL.value,)
_OPEN: Final = (ApprovalState.PENDING.value, ApprovalState.APPROVED.value)
_is_before = approvals.c.kind == ApprovalKind.BEFORE.value
_is_review = approvals.c.kind == ApprovalKind.REVIEW.value
_is_pending = approvals.c.state == ApprovalState.PENDING.value

_ADD = insert(approvals)
_holds = and_(
    approvals.c.approval_id == bindparam("this_approval"),
    approvals.c.digest == bindparam("this_digest"),
    approvals.c.valid_until > bindparam("now"),
    _is_before,
)
_USE = (
    update(approvals)
    .where(_holds, approvals.c.state == ApprovalState.APPROVED.value)
    .values(state=ApprovalState.USED.value)
    .returning(approvals.c.approval_id)
)
_IS_USED = select(approvals.c.approval_id).where(_holds, approvals.c.state == ApprovalState.USED.value)
_LATE = (
    select(approvals.c.approval_id)
    .where(
        _is_before,
        or_(
            and_(_is_pending, approvals.c.lapse_time <= bindparam("now")),
            and_(approvals.c.state == ApprovalState.APPROVED.value, approvals.c.valid_until <= bindparam("now")),
        ),
    )
    .order_by(approvals.c.lapse_time)
    .limit(LAPSED_AT_ONCE)
)
_OUTSTANDING = (
    select(approvals.c.approval_id)
    .where(_is_review, _is_pending, approvals.c.lapse_time <= bindparam("now"))
    .order_by(approvals.c.lapse_time)
    .limit(LAPSED_AT_ONCE)
)
_REMIND = (
    update(approvals)
    .where(approvals.c.approval_id.in_(_OUTSTANDING))
    .values(lapse_time=bindparam("next_time"))
    .returning(approvals.c.approval_id, approvals.c.task_id, approvals.c.create_time)
)


def add(batch: Batch, approval: Approval) -> None:
    """Writes a new approval, whose task is there."""
    batch.connection.execute(_ADD, approval_row(approval))


def not_approved(
    batch: Batch, authorization: Authorization, waited: str | None, state: str | None
) -> RemitError | None:
    """Uses what is held, once, and returns None; or returns why nothing may be issued on it.

    `waited` is the approval of the grant as it is kept, and `state` where that stands: without `held` nothing that
    waits is issued, and nothing at all on an approval that was asked for something else.
    """
    held = authorization.held
    if held is None:
        return changed() if state in _WAITING else None
    if waited != held.approval_id:
        return changed()
    these = {"this_approval": held.approval_id, "this_digest": held.digest, "now": batch.now}
    if batch.connection.execute(_USE if state in _WAITING else _IS_USED, these).first() is None:
        return lapsed("it is over, or another grant was issued under it")
    _stop(batch, _of(held, besides=authorization.grant.grant_id), GrantState.LAPSED)
    return None


def _of(held: Held, *, besides: str) -> ColumnElement[bool]:
    """Matches the other grants that wait for the same approval."""
    return and_(grants.c.approval_id == held.approval_id, grants.c.grant_id != besides)


def refuse_waiting(batch: Batch, approval_id: str) -> None:
    """Moves every grant that waits for a refused approval to REFUSED."""
    _stop(batch, grants.c.approval_id == approval_id, GrantState.REFUSED)


def close(batch: Batch, approval_ids: Sequence[str], state: ApprovalState, why: str) -> None:
    """Closes approvals that are open, with the grants that wait for them, each with its record."""
    if not approval_ids:
        return
    these = approvals.c.approval_id.in_(approval_ids)
    move = (
        update(approvals)
        .where(these, _is_before, approvals.c.state.in_(_OPEN))
        .values(state=state.value)
        .returning(approvals.c.approval_id, approvals.c.task_id)
    )
    moved = sorted(tuple(row) for row in batch.connection.execute(move))
    _stop(batch, grants.c.approval_id.in_([approval_id for approval_id, _ in moved]), GrantState.LAPSED)
    batch.append(*(ApprovalClosed(approval_id, task_id, state.value, why) for approval_id, task_id in moved))


def stop_waiting(batch: Batch, matches: ColumnElement[bool], values: dict[str, Any], why: str) -> None:
    """Lapses what waits for people among the grants that match: their task or their subject's rights ended."""
    stopped = _stop(batch, matches, GrantState.LAPSED, values)
    left = select(grants.c.approval_id).where(grants.c.approval_id.in_(stopped), grants.c.state.in_(_WAITING))
    waited_for = set(batch.connection.execute(left).scalars()) if stopped else set()
    close(batch, sorted(set(stopped) - waited_for), ApprovalState.LAPSED, why)


def lapse(batch: Batch, now: datetime) -> int:
    """Lapses what nobody decided or collected in time, and tells again of reviews that nobody has done."""
    late = list(batch.connection.execute(_LATE, {"now": now}).scalars())
    close(batch, late, ApprovalState.LAPSED, "nobody decided it, or nobody collected it, in time")
    outstanding = batch.connection.execute(_REMIND, {"now": now, "next_time": now + REMIND_EVERY}).all()
    batch.append(*(ReviewOutstanding(*row) for row in sorted(tuple(row) for row in outstanding)))
    return len(late) + len(outstanding)


def _stop(
    batch: Batch, matches: ColumnElement[bool], target: GrantState, values: dict[str, Any] | None = None
) -> list[str]:
    """Moves grants that wait to a state without credentials; returns the approvals that they waited for."""
    move = (
        update(grants)
        .where(grants.c.state.in_([state.value for state in sources_of(target)]), matches)
        .values(state=target.value, state_time=batch.now)
        .returning(grants.c.approval_id)
    )
    return [one for one in batch.connection.execute(move, values or {}).scalars() if one is not None]
