"""What went wrong in a tool's AWS calls, as the tool's result: a model can read it and knows what it can do."""

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any, TypeVar, cast

from remit.errors import (
    ApprovalPending,
    InvalidRequest,
    NotFound,
    Refused,
    Remedy,
    RemitError,
    Unauthenticated,
    Unavailable,
)
from remit.frameworks.core.aws_errors import Denial, denial_of
from remit.frameworks.core.limits import BEYOND, Item, check_within
from remit.frameworks.core.run_task import RunTask
from remit.local.refusals import GIVE_UP, shape_of, texts_of

F = TypeVar("F", bound=Callable[..., Any])
Answer = dict[str, Any]
LONGEST_MESSAGE = 1000
ASK_TOOL = "request_aws_access"
_BY_REMEDY = {
    Remedy.ASK_APPROVAL: ("ask", "tell the user that a person has to approve this, and who asked for what"),
    Remedy.REAUTHENTICATE: ("ask", "ask the user to sign in again"),
    Remedy.RETRY_LATER: ("retry", "nothing is wrong with the request: try again later"),
}
_ASK = f"call {ASK_TOOL} with allow set to ask_for, then this tool again"
_NARROW = f"call {ASK_TOOL} with allow set to this offer, then do the part of the work that it covers"


def answer_to(error: BaseException, run: RunTask | None = None, need: tuple[Item, ...] = ()) -> Answer | None:
    """Returns what a model is told about this error, as JSON values; None for an error that is none of ours.

    The shape is that of docs/refusals.md, the same for every framework and for MCP. `need` is what the tool set as its
    own call's.
    """
    if isinstance(error, RemitError):
        return _short(_of_remit(error, run, need))
    denial = denial_of(error)
    return None if denial is None else _short(_of_aws(denial, run, need))


def text_of_answer(answer: Answer) -> str:
    """Writes an answer as compact JSON."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def tells_refusals(function: F) -> F:
    """Makes a tool of a framework's own kind return what `answer_to` says, as JSON text, in place of raising it."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waiting(*arguments: Any, **named: Any) -> Any:
            try:
                return await function(*arguments, **named)
            except Exception as error:
                answer = answer_to(error)
                if answer is None:
                    raise
                return text_of_answer(answer)

        return cast("F", waiting)

    @functools.wraps(function)
    def working(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as error:
            answer = answer_to(error)
            if answer is None:
                raise
            return text_of_answer(answer)

    return cast("F", working)


def _of_remit(error: RemitError, run: RunTask | None, need: tuple[Item, ...]) -> Answer:
    """Answers for what the gateway, or the run's own limit, said."""
    told, ways = shape_of(error), dict[str, str]()
    match error:
        case ApprovalPending():
            ways["wait"] = "ask for it again once it was approved; until then do other work, or tell the user"
        case Refused():
            asked = need if need and may_ask_for(need, run) else ()
            told |= {"ask_for": texts_of(asked)} if asked else {}
            ways |= _ways_out(error, run, asked)
        case InvalidRequest() | NotFound():
            ways["correct"] = "correct the request and send it again"
        case Unauthenticated():
            ways |= {} if error.reason == "ACTOR_REJECTED" else {"ask": "ask the user to sign in again"}
        case Unavailable():
            ways["retry"] = _when(error)
        case _:
            pass
    if error.reason == BEYOND and run is not None:
        told["may_ask_at_most"] = texts_of(run.may_ask)
        ways.setdefault("narrow", f"call {ASK_TOOL} again with what lies within may_ask_at_most")
    return told | {"ways": ways | {"give_up": GIVE_UP}}


def _ways_out(error: Refused, run: RunTask | None, asked: tuple[Item, ...]) -> dict[str, str]:
    """Says how a refused model can go on, besides giving up; `asked` is what it may ask for instead."""
    ways = dict([_BY_REMEDY[error.remedy]] if error.remedy in _BY_REMEDY else [])
    if error.offer:
        ways["narrow"] = _NARROW
    elif error.split:
        ways["narrow"] = f"call {ASK_TOOL} with one part of `split`, do its part of the work, then go on with the next"
    if asked:
        ways["ask"] = _ASK
    elif error.reason == "NOTHING_ASKED_FOR":
        ways["ask"] = _how_to_ask(run)
    return ways


def _of_aws(denial: Denial, run: RunTask | None, need: tuple[Item, ...]) -> Answer:
    """Answers for a call that AWS itself refused."""
    told: Answer = {"status": "denied", "reason": denial.code, "message": denial.message}
    if denial.action:
        told["stopped"] = [" on ".join(part for part in (denial.action, denial.resource) if part) + " by AWS"]
    if need and not denial.is_explicit:
        told["message"] += ": this tool itself set less for its call, which asking for more does not change"
    wanted = None if denial.is_explicit or need else denial.permission
    if wanted is None or not may_ask_for((wanted,), run):
        return told | {"remedy": Remedy.GIVE_UP.value, "ways": {"give_up": GIVE_UP}}
    told["ask_for"] = texts_of([wanted])
    return told | {"remedy": "ASK", "ways": {"ask": _ASK, "give_up": GIVE_UP}}


def may_ask_for(wanted: tuple[Item, ...], run: RunTask | None) -> bool:
    """Says whether the run may ask for it, and does not hold it already in these words."""
    if run is None:
        return True
    try:
        check_within(wanted, run.may_ask)
    except Refused:
        return False
    return not set(wanted) <= set(run.holds)


def _how_to_ask(run: RunTask | None) -> str:
    most = "" if run is None else f", at most {json.dumps(texts_of(run.may_ask), ensure_ascii=False)}"
    return f"call {ASK_TOOL} with what the work needs{most}"


def _when(error: Unavailable) -> str:
    after = "" if error.retry_after is None else f" in {error.retry_after.total_seconds():.3g} s"
    return f"nothing is wrong with the request: try again{after or ' later'}"


def _short(answer: Answer) -> Answer:
    """Cuts a message that would fill a model's context."""
    message = answer["message"]
    return answer if len(message) <= LONGEST_MESSAGE else answer | {"message": f"{message[:LONGEST_MESSAGE]} ..."}
