"""`remit end`: ends tasks, of the endpoint's or by their id."""

import os
from typing import Annotated, Any

import typer

from remit.cli.app import app, failures_told
from remit.local.errors import EndpointRefused, InvalidSettings
from remit.local.sharing.asking import ask
from remit.local.sharing.place import NotTrusted, socket_path
from remit.local.telling import Exit


@app.command()
def end(
    task: Annotated[
        str | None, typer.Argument(help="A task's id, or the handle that `remit endpoint status` shows.")
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every task that the endpoint holds.")] = False,
) -> None:
    """End a task now: it gets no more credentials, and AWS is told to refuse those that are out.

    A task that the endpoint holds is forgotten there, so that the next call may begin another. Any other is ended at
    the gateway, as the agent that the settings name.
    """
    with failures_told():
        if (task is None) != all_:
            raise InvalidSettings("nothing, or too much, says what to end", advice="give a task's id, or --all")
        answer = _answer({"op": "end", "all": True} if task is None else {"op": "end", "handle": task})
        if answer is None or (task is not None and _is_unknown(answer)):
            _end_at_the_gateway(task)
            return
    if "error" in answer:
        typer.echo(answer["error"]["text"], err=True)
        raise typer.Exit(answer["error"]["exit"])
    ended = [task_id for task_id in answer["ok"]["ended"] if task_id]
    typer.echo("\n".join(f"ended {task_id}" for task_id in ended) or "nothing was running")


def _answer(request: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return ask(socket_path(os.environ), request)
    except NotTrusted as error:
        raise EndpointRefused(
            str(error), advice="find out whose it is, or name another place in REMIT_SOCKET"
        ) from None


def _is_unknown(answer: dict[str, Any]) -> bool:
    return bool("error" in answer and answer["error"]["exit"] == Exit.NOT_FOUND)


def _end_at_the_gateway(task_id: str | None) -> None:
    """Ends a task that nobody here holds; raises RemitError."""
    from remit.local.connecting import gateway_of
    from remit.local.wishes import Caller

    if task_id is None:
        typer.echo("no endpoint runs: nothing is held here")
        return
    with gateway_of(Caller.of(os.environ)) as gateway:
        done = gateway.end_task(task_id)
    until = (
        f"; its credentials work until {done.credentials_until:%F %T} UTC at the longest"
        if done.credentials_until
        else ""
    )
    typer.echo(f"ended {task_id}{until}")
