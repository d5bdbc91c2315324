"""Holds what a call comes with against revokes and blocks: the revoked need a new login, the blocked more than that.

What was decided by another policy revision than the active one is held here, too, by the same one query: a transaction
that authorizes sees the last activation that was committed, whatever the process that decided knew of it.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, bindparam, case, cast, func, literal_column, null, or_, select

from remit_server.adapters.database.schema.approval_tables import approvals
from remit_server.adapters.database.schema.policy_tables import policy_activations
from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.schema.tables import UtcTime
from remit_server.adapters.database.writing.prepared import Prepared, Row
from remit_server.application.ports import Presented
from remit_server.domain.errors import Denied, PolicyChanged, Reason, Refusal, Remedy
from remit_server.domain.revocation import TargetKind

_blocks = and_(revocations.c.block.is_(True), revocations.c.lift_time.is_(None))
_ANOTHER_IS_ACTIVE: Final = "ACTIVATION"  # beside the kinds of targets
# NOTE: no row where there was no activation at all, and none for a call that no revision has decided yet.
_ACTIVATED = select(
    literal_column(f"'{_ANOTHER_IS_ACTIVE}'").label("target"),
    cast(null(), UtcTime()).label("revoke_time"),
    literal_column("0").label("is_blocked"),
    policy_activations.c.number,
).where(
    policy_activations.c.number == select(func.max(policy_activations.c.number)).scalar_subquery(),
    policy_activations.c.revision != bindparam("policy_revision"),
    bindparam("policy_revision") != "",
)
_AGAINST = Prepared(
    select(
        revocations.c.target,
        func.max(revocations.c.revoke_time).label("revoke_time"),
        func.max(case((_blocks, 1), else_=0)).label("is_blocked"),
        literal_column("0").label("number"),
    )
    .where(
        or_(
            and_(
                revocations.c.target_key == bindparam("subject_id"),
                revocations.c.target == TargetKind.SUBJECT.value,
                revocations.c.target_issuer == bindparam("subject_issuer"),
            ),
            and_(revocations.c.target_key == bindparam("actor_id"), revocations.c.target == TargetKind.ACTOR.value),
            and_(
                revocations.c.target_key == bindparam("policy_revision"),
                revocations.c.target == TargetKind.REVISION.value,
                _blocks,
            ),
        )
    )
    .group_by(revocations.c.target)
    .union_all(_ACTIVATED)
)
# Revokes of a grant by its own name: it may have FAILED by then, and would else be tried again.
_GRANT_REVOKED = Prepared(
    select(revocations.c.revocation_id)
    .where(revocations.c.target_key == bindparam("grant_id"), revocations.c.target == TargetKind.GRANT.value)
    .limit(1)
)
# What people said yes to before its subject or actor was revoked is not tried again on that yes.
_REVOKED_SINCE_YES = Prepared(
    select(revocations.c.revocation_id)
    .select_from(approvals.join(revocations, revocations.c.revoke_time >= approvals.c.decide_time))
    .where(
        approvals.c.approval_id == bindparam("approval_id"),
        or_(
            and_(
                revocations.c.target_key == approvals.c.subject_id,
                revocations.c.target == TargetKind.SUBJECT.value,
                revocations.c.target_issuer == approvals.c.subject_issuer,
            ),
            and_(revocations.c.target_key == approvals.c.actor_id, revocations.c.target == TargetKind.ACTOR.value),
        ),
    )
    .limit(1)
)


def is_revoked_unissued(connection: Connection, grant_id: str, approval_id: str | None) -> bool:
    """Says whether a grant that has no credentials must not be tried again: it, or what it rests on, was revoked."""
    if _GRANT_REVOKED.first(connection, {"grant_id": grant_id}) is not None:
        return True
    return approval_id is not None and _REVOKED_SINCE_YES.first(connection, {"approval_id": approval_id}) is not None


def refusal_of_presented(connection: Connection, presented: Presented) -> Denied | PolicyChanged | None:
    """Returns why what a call comes with is refused, or None; PolicyChanged where another revision is to decide it."""
    these = {
        "subject_issuer": presented.subject_issuer,
        "subject_id": presented.subject_id,
        "actor_id": presented.actor_id,
        "policy_revision": presented.policy_revision,
    }
    against = {row["target"]: row for row in _AGAINST.all(connection, these)}
    if (row := against.get(TargetKind.ACTOR)) and (refused := _of_actor(row, presented.actor_token_time)):
        return refused
    if (row := against.get(TargetKind.SUBJECT)) and (refused := _of_subject(row, presented.subject_token_time)):
        return refused
    if row := against.get(_ANOTHER_IS_ACTIVE):
        return PolicyChanged(row["number"])
    if TargetKind.REVISION in against:
        message = "the active policy revision is blocked: the security team has to activate another one"
        return Denied(Reason.POLICY_DENIED, message)
    return None


def _of_actor(row: Row, token_time: datetime | None) -> Denied | None:
    """Returns why an agent is refused that was revoked or blocked, or None when it came back with a new proof."""
    if row["is_blocked"]:
        return Denied(Reason.ACTOR_REJECTED, "this agent is blocked: the security team has to lift the block")
    if not _is_older(token_time, row):
        return None
    message = f"this agent's credentials from before {_told(row)} were revoked: it has to get new ones"
    return Denied(Reason.ACTOR_REJECTED, message, Refusal(remedy=Remedy.REAUTHENTICATE))


def _of_subject(row: Row, token_time: datetime) -> Denied | None:
    """Returns why a user's token is refused who was revoked or blocked, or None when the user logged in since."""
    if row["is_blocked"]:
        return Denied(Reason.SUBJECT_TOKEN_REJECTED, "this user is blocked: the security team has to lift the block")
    if not _is_older(token_time, row):
        return None
    message = f"this user's tokens from before {_told(row)} were revoked: the user has to log in again"
    return Denied(Reason.SUBJECT_TOKEN_REJECTED, message, Refusal(remedy=Remedy.REAUTHENTICATE))


def _is_older(token_time: datetime | None, row: Row) -> bool:
    """Says whether a token was issued before the latest revoke; one whose time is not known is taken to be."""
    revoke_time: datetime = row["revoke_time"]
    return token_time is None or token_time < revoke_time


def _told(row: Row) -> str:
    """Returns the time of a revoke as messages tell it."""
    revoke_time: datetime = row["revoke_time"]
    return revoke_time.strftime("%Y-%m-%dT%H:%M:%SZ")
