"""What to do about a failure, in the terms of the tools: a model has no Python and no command line here."""

from dataclasses import replace
from typing import Final

from remit.errors import (
    ApprovalPending,
    InvalidRequest,
    NotFound,
    Refused,
    Remedy,
    RemitError,
    TaskOver,
    Unavailable,
)
from remit.local.errors import LoginNeeded
from remit.local.explaining import REASONS, Explanation

SIGN_IN: Final = "ask the user to run `remit login`, then call again"
_BY_REASON: Final = {
    "APPROVAL_PENDING": "wait: call request_aws_access again with the handle and with wait_seconds",
    "APPROVAL_LAPSED": "call request_aws_access anew, without the old handle",
    "NOT_FOUND": "whoami lists the tasks that are held",
    "GRANT_NOT_LIVE": "call request_aws_access for another task",
    "TOO_MANY_TASKS": "end some with end_task: whoami lists the tasks that are held",
    "LOGIN_NEEDED": SIGN_IN,
    "LOGIN_EXPIRED": SIGN_IN,
    "LOGIN_REFUSED": SIGN_IN,
    "SUBJECT_TOKEN_REJECTED": SIGN_IN,
}
_SAID_OTHERWISE: Final = (
    ("ask for it when the task begins: --allow ", "call request_aws_access with it in allow: "),
    ("`remit whoami`", "whoami"),
)
_BY_REMEDY: Final = {
    Remedy.NARROW: "call request_aws_access with less in allow, or with narrow: true to get what may be had",
    Remedy.SPLIT: "split: call request_aws_access once for each part of what the task needs",
    Remedy.REAUTHENTICATE: SIGN_IN,
}


def advice_of(error: RemitError) -> str:
    """Returns what a model can do about a failure."""
    match error:
        case Refused(offer=offer) if offer:
            return "call request_aws_access with allow set to offer, or with narrow: true"
        case Refused(split=split) if split:
            return "split: call request_aws_access once for each list of split"
        case ApprovalPending(reason="APPROVAL_PENDING") | NotFound():
            return _BY_REASON.get(error.reason, _BY_REASON["NOT_FOUND"])
        case TaskOver(cause=str()):
            # Who had it revoked decides what comes next: never to ask again at once on somebody's word.
            return error.advice
        case LoginNeeded():
            # Where it is more than to sign in, the error says so.
            return _BY_REASON.get(error.reason, error.advice)
        case _:
            return _BY_REASON.get(error.reason) or _BY_REMEDY.get(error.remedy) or error.advice


def way_of(error: RemitError) -> str:
    """Returns which of the ways of docs/refusals.md the advice about a failure is."""
    match error:
        case Refused(offer=offer, split=split) if offer or split or error.remedy is Remedy.NARROW:
            return "narrow"
        case ApprovalPending(reason="APPROVAL_PENDING"):
            return "wait"
        case InvalidRequest() | NotFound():
            return "correct"
        case Unavailable():
            return "retry"
        case _:
            return "ask"


def advice_of_reason(reason: str) -> tuple[str, ...]:
    """Returns what a model can do about a reason; KeyError for an unknown one."""
    known = REASONS[reason]
    error = known.carrier(known.what, reason=reason, remedy=known.remedy)
    if known.is_all:
        return (_BY_REASON.get(reason, known.todo),)
    return tuple(step for step in (advice_of(error), known.todo) if step)


def in_tools_terms(explanation: Explanation) -> Explanation:
    """Returns the explanation of a denial without options and commands that are no tool's."""
    return replace(explanation, todo=tuple(_otherwise(step) for step in explanation.todo))


def _otherwise(step: str) -> str:
    for ours, tools in _SAID_OTHERWISE:
        step = step.replace(ours, tools)
    return step
