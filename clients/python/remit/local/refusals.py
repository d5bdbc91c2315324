"""What a model is told of a failure, in whichever framework or protocol its tools live: one shape, docs/refusals.md."""

from collections.abc import Iterable
from typing import Any, Final

from remit.errors import (
    ApprovalPending,
    FailedPermission,
    InvalidRequest,
    NotFound,
    Refused,
    Remedy,
    RemitError,
    TaskOver,
    Unauthenticated,
)
from remit.intent import Capability, Permission
from remit.intents import text_of
from remit.local.errors import LoginNeeded
from remit.local.explaining.spelling import spelling_hints

Shape = dict[str, Any]
MOST_SHOWN: Final = 5
GIVE_UP: Final = "tell the user what could not be done and why"
"""The way that is always open."""


def shape_of(error: RemitError) -> Shape:
    """Returns a failure as JSON values, without `ways`, which are in the words of the tools that a model has.

    Members that say nothing are left out.
    """
    said: Shape = {"status": status_of(error), "reason": error.reason, "message": error.message} | _of_kind(error)
    remedy = Remedy.CORRECT if isinstance(error, NotFound) else error.remedy
    more = {"remedy": remedy.value, "request_id": error.request_id}
    return {name: value for name, value in (said | more).items() if value or name == "message"}


def status_of(error: RemitError) -> str:
    """Returns where things stand: refused, pending, over, invalid or unavailable."""
    match error:
        case ApprovalPending():
            return "pending"
        case TaskOver():
            return "over"
        case Refused() | Unauthenticated() | LoginNeeded():
            return "refused"
        case InvalidRequest() | NotFound():
            return "invalid"
        case _:
            return "unavailable"


def texts_of(items: Iterable[Permission | Capability]) -> list[str]:
    """Writes each as the text that `allow` takes."""
    return [text_of(item) for item in items]


def _of_kind(error: RemitError) -> Shape:
    """Returns what only this kind of failure says."""
    match error:
        case ApprovalPending():
            lapses = None if error.lapse_time is None else error.lapse_time.isoformat()
            return {"approval": error.approval, "approvers": _approvers(error), "lapses": lapses}
        case TaskOver():
            return {"cause": error.cause}
        case Refused():
            split = [texts_of(part) for part in error.split]
            offer, spelling = texts_of(error.offer), list(spelling_hints(one.action for one in error.failures))
            return {"stopped": _stopped(error), "spelling": spelling, "offer": offer, "split": split}
        case InvalidRequest():
            wrong = [str(violation) for violation in error.violations if str(violation) != error.message]
            return {"wrong": wrong[:MOST_SHOWN]}
        case _:
            return {}


def _approvers(error: ApprovalPending) -> str:
    """Says who has to approve."""
    who = [f"{error.min_approvers} of {' or '.join(error.groups)}"] if error.groups else []
    return " and ".join(who + (["the user in person"] if error.by_subject else []))


def _stopped(error: Refused) -> list[str]:
    """Says which permissions failed by which rule, up to a few; not again what the message says."""
    shown = list(dict.fromkeys(_failure(failure, error.message) for failure in error.failures))
    more = [f"and {len(shown) - MOST_SHOWN} more"] if len(shown) > MOST_SHOWN else []
    return shown[:MOST_SHOWN] + more


def _failure(failure: FailedPermission, message: str) -> str:
    place = " on ".join(part for part in (failure.action, failure.resource) if part)
    said = f": {failure.message}" if failure.message and failure.message not in message else ""
    return f"{place} by {failure.rule}{said}"
