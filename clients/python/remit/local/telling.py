"""How failures are told on this machine: everywhere the same text and reason, and an exit code for each kind."""

from enum import IntEnum
from typing import Any

from remit.errors import (
    ApprovalPending,
    InvalidRequest,
    NotFound,
    Refused,
    Remedy,
    RemitError,
    TaskOver,
    Unauthenticated,
    Unavailable,
)
from remit.local import errors as local
from remit.workload.failing import NoWorkloadIdentity


class Exit(IntEnum):
    """Exit codes of `remit`; its own are between 80 and 89, to be told from those of the commands that it runs."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 80
    APPROVAL_PENDING = 81
    LOGIN_NEEDED = 82
    UNREACHABLE = 83
    OVER = 84
    INVALID = 85
    NOT_FOUND = 86
    NOT_THIS_AGENT = 87
    NOT_EXECUTABLE = 126
    NO_SUCH_COMMAND = 127


_CODES: tuple[tuple[type[RemitError], Exit], ...] = (
    (TaskOver, Exit.OVER),
    (Refused, Exit.REFUSED),
    (ApprovalPending, Exit.APPROVAL_PENDING),
    (local.LoginNeeded, Exit.LOGIN_NEEDED),
    (Unauthenticated, Exit.LOGIN_NEEDED),
    (local.TooManyTasks, Exit.UNREACHABLE),
    (local.IssuerUnavailable, Exit.UNREACHABLE),
    (local.LoginBusy, Exit.UNREACHABLE),
    (Unavailable, Exit.UNREACHABLE),
    (InvalidRequest, Exit.INVALID),
    (local.InvalidSettings, Exit.INVALID),
    (local.EndpointRefused, Exit.INVALID),
    (local.EndpointGone, Exit.OVER),
    (local.NoSuchCommand, Exit.NO_SUCH_COMMAND),
    (local.NotExecutable, Exit.NOT_EXECUTABLE),
    (local.NoToken, Exit.LOGIN_NEEDED),
    (NoWorkloadIdentity, Exit.LOGIN_NEEDED),
    (NotFound, Exit.NOT_FOUND),
)


def exit_code(error: BaseException) -> Exit:
    """Returns the exit code for a failure."""
    if isinstance(error, RemitError) and error.reason == "ACTOR_REJECTED":
        return Exit.NOT_THIS_AGENT
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)


def told(error: BaseException) -> str:
    """Returns what a person is told: the exception's own text, and how to do on a command line what it advises."""
    if not isinstance(error, RemitError):
        # NOTE: the text of an error that is not ours may hold anything, a token too; its type may not.
        return f"INTERNAL: remit failed with {type(error).__name__}, which it should have foreseen; please report it"
    here = on_a_command_line(error)
    lines = [str(error), *(f"  spelling: {hint}" for hint in hints_of(error))]
    return "\n".join([*lines, f"  on a command line: {here}"] if here else lines)


def hints_of(error: RemitError) -> tuple[str, ...]:
    """Returns what is odd about the actions that a refusal names."""
    if not isinstance(error, Refused) or not error.failures:
        return ()
    from remit.local.explaining.spelling import spelling_hints  # noqa: PLC0415 - only refusals need it

    return spelling_hints(failure.action for failure in error.failures)


def as_json(error: BaseException) -> dict[str, Any]:
    """Returns a failure as programs of this user pass it on."""
    reason, message = (error.reason, error.message) if isinstance(error, RemitError) else ("INTERNAL", "")
    return {"reason": reason, "message": message, "text": told(error), "exit": int(exit_code(error))}


def in_one_line(text: str) -> str:
    """Returns a told failure in one line, for tools that show no more than one."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def on_a_command_line(error: RemitError) -> str | None:
    """Returns the options or the command that do what the error's own advice says in Python."""
    match error:
        case Refused(offer=offer) if offer:
            return "add --narrow to get that part, or ask for it with --allow"
        case Refused(remedy=Remedy.NARROW):
            return "add --narrow, or ask for less with --allow"
        case ApprovalPending():
            return f"add --wait to wait for them, or come back with --request-id {error.request_id}"
        case Unauthenticated(reason="SUBJECT_TOKEN_REJECTED") | Refused(remedy=Remedy.REAUTHENTICATE):
            return "`remit login`, where the token is a sign-in's ([login] says which of them); else give a fresh one"
        case Unavailable(reason="UNAVAILABLE", todo=todo) if todo:
            return "REMIT_GATEWAY says the address and REMIT_CA_FILE the file, else target and ca_file under [gateway]"
        case _:
            return None
