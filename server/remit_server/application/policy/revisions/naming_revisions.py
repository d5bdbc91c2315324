"""Finds the one published revision that a caller means by the first digits of its digest, or by none."""

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.policy.ports import Revisions
from remit_server.domain.administration import Visibility
from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest, Reason, RemitError
from remit_server.domain.operator import Operator
from remit_server.domain.policy_revision import PublishedRevision


async def found(revisions: Revisions, digits: str) -> PublishedRevision | RemitError:
    """Returns the revision whose digest begins so, or the active one for no digits at all; or why there is none.

    A value, so that whether the caller may know can be decided in between. Raises Outage.
    """
    if not digits:
        active = await revisions.active()
        if active is None:
            return Denied(Reason.NOT_FOUND, "no revision is active yet")
        digits = active.revision
    matching = await revisions.matching(digits)
    match len(matching):
        case 0:
            return Denied(Reason.NOT_FOUND, "no revision that was published begins so")
        case 1:
            return matching[0]
        case _:
            return InvalidRequest([FieldViolation("revision", "more than one revision begins so: give more digits")])


def told(meant: PublishedRevision | RemitError, digits: str) -> str:
    """Returns what a record says of the revision that is meant: its digest, or what was sent where there is none."""
    return meant.revision if isinstance(meant, PublishedRevision) else digits


async def allowed(
    authorize: Authorize, revisions: Revisions, operator: Operator, rpc: str, digits: str, *, whole: bool = False
) -> PublishedRevision:
    """Returns the revision that is meant, once the caller may know of it and that is on record.

    Raises what `Authorize` does, Denied(NOT_FOUND), and InvalidRequest where more than one is meant.
    """
    meant = await found(revisions, digits)

    async def check(_: Visibility) -> None:
        if isinstance(meant, RemitError):
            raise meant

    await authorize(operator, rpc, about=told(meant, digits), whole=whole, check=check)
    assert isinstance(meant, PublishedRevision)  # noqa: S101 - for the type checker: `check` has raised
    return meant
