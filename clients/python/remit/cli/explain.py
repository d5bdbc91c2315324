"""`remit explain`: what a reason, a denial of AWS, a request or a task came to, and what to do."""

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from remit.cli.app import app, failures_told

if TYPE_CHECKING:
    from remit.local.explaining import Explanation, LiveTask

LARGEST_TEXT = 64 * 1024
TAKES = (
    "give a reason (CEILING_EXCEEDED), the text of an AWS or Remit error (also by `2>&1 | remit explain`), a request "
    "id or a task id; nothing, to explain the endpoint's last failure"
)
_REASON = re.compile(r"[A-Z][A-Z_]{2,40}")
_REQUEST = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TASK = re.compile(r"(?:tasks/)?([a-z2-7]{26}|[0-9a-f]{16})(?:/grants/[a-z2-7]{26})?")
_TOLD = re.compile(r"(?:^|[\s(])([A-Z]{2,}(?:_[A-Z]+)+): ")


@app.command()
def explain(
    what: Annotated[
        list[str] | None, typer.Argument(help="A reason, an error's text, a request id or a task id; - reads it.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain a reason, an AWS error, a request or a task: what failed, why, and what to do about it."""
    with failures_told():
        found = explained(_text(what))
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else found.text())


def explained(text: str) -> "Explanation":
    """Returns the explanation of whatever the text is; raises RemitError for what is none of the known things."""
    from remit.local.explaining import REASONS, denial_of, explain_denial, explain_reason

    if not text:
        return _last_failure()
    if _REQUEST.fullmatch(text):
        return _request(text.lower())
    if found := _TASK.fullmatch(text):
        return _task(found.group(1))
    reason = text if _REASON.fullmatch(text) else next((word for word in _TOLD.findall(text) if word in REASONS), None)
    if reason in REASONS:
        return explain_reason(str(reason))
    denial = None if reason else denial_of(text)
    if denial is None:
        raise _unknown(text)
    return explain_denial(denial, _live_tasks())


def _text(what: list[str] | None) -> str:
    """Returns what is to be explained, from the arguments or from standard input."""
    is_piped = not what and not sys.stdin.isatty()
    if is_piped or what == ["-"]:
        return sys.stdin.read(LARGEST_TEXT).strip()
    return " ".join(what or []).strip()


def _unknown(text: str) -> Exception:
    from difflib import get_close_matches

    from remit.local.errors import InvalidSettings
    from remit.local.explaining import REASONS

    near = get_close_matches(text.upper()[:64], list(REASONS), n=1)
    told = f"that is nothing that can be explained; the nearest reason is {near[0]}" if near else None
    return InvalidSettings(told or "that is nothing that can be explained", advice=TAKES, reason="INVALID_REQUEST")


def _asked(request: dict[str, Any]) -> dict[str, Any]:
    """Returns what the endpoint answers, nothing where none runs; raises RemitError."""
    from remit.local.errors import EndpointRefused
    from remit.local.sharing.asking import ask
    from remit.local.sharing.place import NotTrusted, socket_path

    try:
        answer = ask(socket_path(os.environ), request, 10.0) or {}
    except NotTrusted as error:
        raise EndpointRefused(str(error), advice="name another place in REMIT_SOCKET") from None
    found = answer.get("ok", {})
    return found if isinstance(found, dict) else {}


def _live_tasks() -> "list[LiveTask]":
    from remit.local.explaining import LiveTask
    from remit.local.explaining.surroundings import surrounding_task

    tasks = [*_asked({"op": "status", "policies": True}).get("tasks", []), *surrounding_task(os.environ)]
    return [LiveTask.parse(members) for members in tasks if members.get("session_policy")]


def _failures() -> list[dict[str, Any]]:
    return [item for item in _asked({"op": "failures"}).get("failures", []) if isinstance(item, dict)]


def _last_failure() -> "Explanation":
    from remit.errors import NotFound

    failures = _failures()
    if not failures:
        raise NotFound(f"the endpoint of this machine remembers no failure: {TAKES}", reason="NOT_FOUND")
    return _of_failure(failures[0])


def _of_failure(failure: dict[str, Any]) -> "Explanation":
    """Returns a failure that the endpoint remembers, in the words in which it was told."""
    from remit.local.explaining import REASONS, Explanation

    reason, known = str(failure.get("reason")), REASONS.get(str(failure.get("reason")))
    lines = [line.strip() for line in str(failure.get("text", "")).splitlines()[1:]]
    facts = [
        f"{name.replace('_', ' ')}: {failure[name]}" for name in ("time", "purpose", "handle") if failure.get(name)
    ]
    return Explanation(reason, str(failure.get("message", "")), known.why if known else "", more=(*facts, *lines))


def _request(request_id: str) -> "Explanation":
    """Returns what a request came to, as the endpoint remembers it, else as the gateway does."""
    from remit.local.explaining.decisions import explain_request

    for failure in _failures():
        if failure.get("request_id") == request_id:
            return _of_failure(failure)
    return explain_request(request_id)


def _task(name: str) -> "Explanation":
    from remit.errors import NotFound
    from remit.local.explaining import Explanation
    from remit.local.explaining.policies import permissions_of

    for task in _live_tasks():
        if name in {task.task_id, task.handle}:
            may = tuple(f"it may: {permission}" for permission in permissions_of(task.session_policy))
            what = f"the task {task.task_id} is live on this machine: {task.purpose}"
            return Explanation("LIVE", what, more=may)
    raise NotFound(
        "no task with this id is live on this machine: it has ended (by its end, a revoke or a lost lease), or another "
        "machine or agent holds it. `remit whoami` shows those that are live; `remit explain REQUEST_ID` says what a "
        "request came to; how a task ended an operator sees: remit-server grants list --task TASK",
        reason="NOT_FOUND",
    )
