"""What is written when people are asked and when they decide, each as one operation of a batch."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.approvals import approving
from remit_server.adapters.database.revoking.presented import refusal_of_presented
from remit_server.adapters.database.revoking.revocations import revoke
from remit_server.adapters.database.revoking.stopped import new_revocation_id
from remit_server.adapters.database.schema.approval_rows import approval_of, vote_row
from remit_server.adapters.database.schema.approval_tables import approval_votes, approvals
from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing import operations
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.application.ports import Authorization, Presented
from remit_server.domain.approval import Approval, ApprovalKind, ApprovalState, Vote
from remit_server.domain.errors import Denied, Outage, PolicyChanged, Reason, RemitError
from remit_server.domain.lifecycle_records import ApprovalAsked, ApprovalDecided
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind

MOST_WAITING: Final = 20  # for the people of one subject and actor: who is asked too often says yes to anything
MOST_AN_HOUR: Final = 60  # however many of them were given up meanwhile
_HOUR: Final = timedelta(hours=1)
_RETRY_AFTER: Final = timedelta(minutes=1)

_APPROVAL = Prepared(select(approvals).where(approvals.c.approval_id == bindparam("approval_id")))
_VOTES = Prepared(
    select(approval_votes)
    .where(approval_votes.c.approval_id == bindparam("approval_id"))
    .order_by(approval_votes.c.time, approval_votes.c.approver_issuer, approval_votes.c.approver_id)
)
_waits = (approvals.c.state == ApprovalState.PENDING.value, approvals.c.lapse_time > bindparam("now"))
_is_before = approvals.c.kind == ApprovalKind.BEFORE.value
_EQUAL = select(approvals.c.approval_id).where(
    approvals.c.task_id == bindparam("task_id"),
    approvals.c.digest == bindparam("digest"),
    _is_before,
    *_waits,
)
_is_theirs = (
    approvals.c.subject_id == bindparam("subject_id"),
    approvals.c.subject_issuer == bindparam("subject_issuer"),
    approvals.c.actor_id == bindparam("actor_id"),
    _is_before,
)
_COUNT = select(func.count()).where(*_is_theirs, *_waits)
_COUNT_LATELY = select(func.count()).where(*_is_theirs, approvals.c.create_time > bindparam("since"))
_REVIEWED = select(grants.c.grant_id).where(grants.c.approval_id == bindparam("approval_id"))
_ADD_VOTE = insert(approval_votes).on_conflict_do_nothing().returning(approval_votes.c.approval_id)
_DECIDE = (
    update(approvals)
    .where(approvals.c.approval_id == bindparam("this_approval"), approvals.c.state == ApprovalState.PENDING.value)
    .values(state=bindparam("new_state"), decide_time=bindparam("decided"), valid_until=bindparam("until"))
)


def read(connection: Connection, approval_id: str) -> Approval | None:
    """Returns an approval with its votes, or None."""
    this = {"approval_id": approval_id}
    row = _APPROVAL.first(connection, this)
    return None if row is None else approval_of(row, _VOTES.all(connection, this))


def ask(batch: Batch, authorization: Authorization, approval: Approval, record: ApprovalAsked) -> Approval | RemitError:
    """Writes a grant that waits, with its task; and what it waits for, unless the task waits for an equal one."""
    equal = _equal(batch, approval)
    if equal is None and _is_over_asked(batch, approval):
        message = (
            f"{MOST_WAITING} approvals wait for this user and agent, or {MOST_AN_HOUR} were asked within an hour: "
            "people have to decide them first"
        )
        return Outage(Reason.RATE_LIMITED, message, retry_after=_RETRY_AFTER)
    kept = equal or approval
    grant = replace(authorization.grant, approval_id=kept.approval_id)
    lost = operations.authorize(batch, replace(authorization, grant=grant))
    if lost is not None:
        return lost
    if equal is None:
        approving.add(batch, approval)
    told = replace(record, approval_id=kept.approval_id, lapse_time=kept.lapse_time, joined=equal is not None)
    batch.append(told)
    return kept


def void(batch: Batch, approval_id: str, why: str, presented: Presented) -> PolicyChanged | None:
    """Closes an approval that is not for what would be issued, unless by now another revision would decide that."""
    refused = refusal_of_presented(batch.connection, presented)
    if isinstance(refused, PolicyChanged):
        return refused
    approving.close(batch, [approval_id], ApprovalState.VOID, why)
    return None


def _equal(batch: Batch, approval: Approval) -> Approval | None:
    """Returns the approval that the task waits for and that asks the same people for the same, or None."""
    these = {"task_id": approval.task_id, "digest": approval.digest, "now": batch.now}
    found = [read(batch.connection, one) for one in batch.connection.execute(_EQUAL, these).scalars()]
    return next((one for one in found if one is not None and one.need == approval.need), None)


def _is_over_asked(batch: Batch, approval: Approval) -> bool:
    """Says whether as much waits for this subject and actor as may, or was asked within the last hour."""
    these = {
        "subject_id": approval.subject_id,
        "subject_issuer": approval.subject_issuer,
        "actor_id": approval.actor_id,
        "now": batch.now,
    }
    waiting: int = batch.connection.execute(_COUNT, these).scalar_one()
    lately: int = batch.connection.execute(_COUNT_LATELY, {**these, "since": batch.now - _HOUR}).scalar_one()
    return waiting >= MOST_WAITING or lately >= MOST_AN_HOUR


def decide(batch: Batch, approval_id: str, digest: str, vote: Vote, *, denying: bool) -> Approval | RemitError:
    """Adds a vote as of now, and does what follows from it."""
    approval = read(batch.connection, approval_id)
    if approval is None:
        return Denied(Reason.NOT_FOUND, "there is no such approval")
    vote = replace(vote, time=batch.now)
    after = approval.after(vote, digest)
    if isinstance(after, Denied):
        return after
    if batch.connection.execute(_ADD_VOTE, vote_row(approval_id, vote)).first() is None:
        return Denied(Reason.APPROVAL_DECIDED, "you have decided this approval already: one vote a person")
    decided = {"new_state": after.state.value, "decided": after.decide_time, "until": after.valid_until}
    batch.connection.execute(_DECIDE, {"this_approval": approval_id, **decided})
    batch.append(_decided(after, vote))
    if after.state is ApprovalState.REFUSED:
        _refused(batch, after, vote, denying=denying)
    return after


def _refused(batch: Batch, approval: Approval, vote: Vote, *, denying: bool) -> None:
    """Sends away what waits for a yes that will not come, or ends what should not have been issued."""
    if approval.kind is ApprovalKind.BEFORE:
        return approving.refuse_waiting(batch, approval.approval_id)
    by = f"{vote.approver_id} of {vote.approver_issuer}"
    for grant_id in batch.connection.execute(_REVIEWED, {"approval_id": approval.approval_id}).scalars():
        target = Target(TargetKind.GRANT, grant_id)
        order = RevokeOrder(new_revocation_id(), target, RevokeCause.REVIEW, by, vote.comment or "refused in review")
        revoke(batch, order, denying=denying)
    return None


def _decided(approval: Approval, vote: Vote) -> ApprovalDecided:
    return ApprovalDecided(
        approval_id=approval.approval_id,
        task_id=approval.task_id,
        digest=approval.digest,
        approver_issuer=vote.approver_issuer,
        approver_id=vote.approver_id,
        approved=vote.approved,
        comment=vote.comment,
        state=approval.state.value,
    )
