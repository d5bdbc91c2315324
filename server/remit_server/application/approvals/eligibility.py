"""Who may decide an approval, and who may see it: stable ids and groups, never a name that somebody chose."""

from datetime import UTC, datetime, timedelta
from typing import Final

from remit_server.domain.approval import Approval, handles_of
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.operator import Operator, OperatorKind

FRESH: Final = timedelta(minutes=5)  # how long ago a subject who confirms may have signed in
AHEAD: Final = timedelta(seconds=30)  # of the gateway's clock that an issuer's may be


def may_see(operator: Operator, approval: Approval) -> bool:
    """Says whether an approval is a person's own business: it is their own, or they are among those who are asked."""
    if operator.kind is not OperatorKind.PERSON:
        return False
    return approval.is_of(operator.issuer, operator.subject) or not _groups(operator, approval).isdisjoint(
        approval.need.groups
    )


def check_may_decide(operator: Operator, approval: Approval, *, approve: bool, now: datetime) -> None:
    """Raises Denied(NOT_AUTHORIZED) unless this caller may say this.

    Others decide: people of the groups that are asked, never the subject, not by another account either, and never an
    agent. Where the subject confirms, it does so after a fresh login. A no is the subject's at any time.
    """
    if operator.kind is not OperatorKind.PERSON or operator.name == approval.actor_id:
        raise _not_authorized("only people decide, with a login of their own: never an agent or a workload")
    if approval.is_of(operator.issuer, operator.subject):
        if approve:
            _check_subject(operator, approval, now)
        return
    if not known_as(operator).isdisjoint(approval.subject_handles):
        raise _not_authorized("this is the user for whom it is asked, by another account: somebody else decides")
    if not _groups(operator, approval):
        raise _not_authorized("members of other groups decide this")


def groups_asked(operator: Operator, approval: Approval) -> tuple[str, ...]:
    """Returns the groups by which this person is asked, sorted; none for the subject, who is not asked by a group."""
    if approval.is_of(operator.issuer, operator.subject):
        return ()
    return tuple(sorted(_groups(operator, approval)))


def known_as(operator: Operator) -> frozenset[str]:
    """Returns what a caller is known by."""
    return handles_of(operator.issuer, operator.subject, operator.email)


def _groups(operator: Operator, approval: Approval) -> frozenset[str]:
    return frozenset(operator.groups) & frozenset(approval.need.groups)


def _check_subject(operator: Operator, approval: Approval, now: datetime) -> None:
    """Raises Denied unless the subject is asked to confirm in person, and has signed in for it."""
    if not approval.need.by_subject:
        raise _not_authorized("nobody says yes to what is done in their own name: somebody else decides this")
    signed_in = _signed_in(operator)
    is_fresh = signed_in is not None and now - FRESH <= signed_in <= now + AHEAD and signed_in >= approval.create_time
    if not is_fresh:
        minutes = int(FRESH.total_seconds() // 60)
        raise _not_authorized(
            f"confirming takes a login that is younger than the request and than {minutes} minutes: sign in again",
            Remedy.REAUTHENTICATE,
        )


def _signed_in(operator: Operator) -> datetime | None:
    """Returns when the person signed in: as the issuer says, else when the token was issued."""
    if operator.auth_time is not None:
        return datetime.fromtimestamp(operator.auth_time, UTC)
    return operator.token_issue_time


def _not_authorized(message: str, remedy: Remedy = Remedy.GIVE_UP) -> Denied:
    return Denied(Reason.NOT_AUTHORIZED, message, Refusal(remedy=remedy))
