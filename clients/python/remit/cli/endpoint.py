"""`remit endpoint`: the process by which all programs of one user share tasks."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from remit.cli.app import app, failures_told
from remit.local.errors import EndpointGone, EndpointRefused
from remit.local.sharing.asking import ask
from remit.local.sharing.place import NotTrusted, socket_path

START_SECONDS = 20.0
STOP_SECONDS = 30.0
_PAUSE = 0.05
group = typer.Typer(help="Keep tasks for all programs of this user, in memory only.", invoke_without_command=True)
app.add_typer(group, name="endpoint")


@group.callback()
def endpoint(
    context: typer.Context,
    *,
    background: Annotated[bool, typer.Option("--background", help="Return once it answers; it goes on.")] = False,
) -> None:
    """Keep tasks for all programs of this user, in memory only: equal wishes share one, idle ones are ended.

    Without a command it runs here until Ctrl-C. `remit credential-process` finds it by its socket, which is
    $XDG_RUNTIME_DIR/remit/endpoint.sock unless REMIT_SOCKET says another place.
    """
    if context.invoked_subcommand is not None:
        return
    with failures_told():
        if background:
            _start()
        else:
            _serve()


@group.command()
def start() -> None:
    """Start it in the background, and return once it answers."""
    with failures_told():
        _start()


@group.command()
def stop() -> None:
    """Stop it: every task that it holds is ended."""
    with failures_told():
        pid = _asked({"op": "stop"})["pid"]
        until = time.monotonic() + STOP_SECONDS
        while time.monotonic() < until and _is_answering():
            time.sleep(_PAUSE)
    typer.echo(f"stopped (process {pid}); its tasks are ended")


@group.command()
def status() -> None:
    """Show what it holds."""
    with failures_told():
        found = _asked({"op": "status"})
    typer.echo(f"process {found['pid']}, remit {found['version']}, at {socket_path()}")
    for task in found["tasks"]:
        until = f" until {task['expire_time']}" if task["expire_time"] else ""
        reason = f" ({task['reason']})" if task["reason"] else ""
        typer.echo(f"{task['task_id'] or task['handle']}  {task['state']}{until}{reason}  {task['purpose']}")
    if not found["tasks"]:
        typer.echo("no tasks")


def _serve() -> None:
    """Serves until a signal or a program of this user says to stop."""
    from remit.local.broker import Broker, Keeping
    from remit.local.sharing.answers import Answers
    from remit.local.sharing.serving import SocketServer

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    path = Path(socket_path())
    with (
        Broker(Keeping(restarts=True)) as broker,
        SocketServer(path, Answers(broker, takes_wishes=True, stop=stopping.set)),
    ):
        typer.echo(f"answering at {path}; Ctrl-C ends it and its tasks", err=True)
        stopping.wait()


def _start() -> None:
    """Starts the process and waits until it answers."""
    if _is_answering():
        raise EndpointRefused(
            f"an endpoint answers at {socket_path()} already", advice="`remit endpoint stop` stops it"
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "remit.cli", "endpoint"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    until = time.monotonic() + START_SECONDS
    while not _is_answering():
        if process.poll() is not None or time.monotonic() >= until:
            process.terminate()
            raise EndpointGone("the endpoint did not start", advice="run `remit endpoint` to see why")
        time.sleep(_PAUSE)
    typer.echo(f"answering at {socket_path()} (process {process.pid})")


def _is_answering() -> bool:
    return _answer({"op": "status"}) is not None


def _asked(request: dict[str, Any]) -> dict[str, Any]:
    """Returns what the endpoint answers; raises EndpointGone when there is none."""
    found = _answer(request)
    if found is None:
        raise EndpointGone(
            f"no endpoint runs (none answers at {socket_path()})", advice="`remit endpoint start` starts it"
        )
    return found


def _answer(request: dict[str, Any]) -> dict[str, Any] | None:
    try:
        answer = ask(socket_path(os.environ), request)
    except NotTrusted as error:
        raise EndpointRefused(
            str(error), advice="find out whose it is, or name another place in REMIT_SOCKET"
        ) from None
    if answer is not None and "error" in answer:
        raise EndpointRefused(answer["error"]["message"], advice="stop that process and start it again")
    return None if answer is None else answer["ok"]
