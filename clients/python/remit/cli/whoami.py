"""`remit whoami`: who this agent is, for whom it works, and what it holds."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from remit.cli.app import app, failures_told
from remit.local.telling import exit_code, told

if TYPE_CHECKING:
    from remit.local.standing import Standing


@app.command()
def whoami(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say who this agent is to the gateway and for whom it works, who is signed in here, and which tasks are live."""
    from remit.local.standing import standing

    with failures_told():
        found = standing()
    typer.echo(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(_lines(found)))
    for error in found.failures:
        typer.echo(told(error), err=True)
    if found.failures:
        raise typer.Exit(exit_code(found.failures[0]))


def _lines(found: "Standing") -> Iterator[str]:
    identity, login = found.identity, found.login
    yield f"gateway    {found.gateway or 'none is named'}"
    if identity is None:
        yield f"agent      {'the gateway did not say' if found.gateway else 'no gateway was asked'}"
    else:
        yield f"agent      {identity.actor}"
        yield f"policy     {identity.policy_revision}"
        yield f"user       {_user(found)}"
    if login is not None:
        lasts = "refreshed silently" if login.refreshes else "not refreshed"
        yield f"signed in  {login.subject} at {login.issuer}, {_until(login.expire_time)}, {lasts}"
        yield f"           kept in {login.kept}"
    yield from _tasks(found)


def _user(found: "Standing") -> str:
    identity = found.identity
    if identity is None or identity.subject is None:
        return "nobody: no token of a user"
    groups = f" in {', '.join(identity.groups)}" if identity.groups else ""
    until = f", {_until(identity.subject_token_expire_time)}" if identity.subject_token_expire_time else ""
    return f"{identity.subject.id} at {identity.subject.issuer}{groups}{until}"


def _until(time: datetime) -> str:
    return f"token {'until' if time > datetime.now(UTC) else 'over since'} {time:%F %T} UTC"


def _tasks(found: "Standing") -> Iterator[str]:
    if found.tasks is None:
        yield "tasks      no endpoint runs"
        return
    if not found.tasks:
        yield "tasks      none is held"
    for number, task in enumerate(found.tasks):
        named = task.get("task_id") or task.get("handle")
        yield f"{'tasks' if not number else '':10} {named}  {task.get('state')}  {task.get('purpose')}"
