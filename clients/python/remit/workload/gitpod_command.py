"""Gitpod (Ona): the command line of the environment asks for the token (ona.com/docs, "OpenID Connect (OIDC)")."""

import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from remit.workload.failing import NoWorkloadIdentity, harmless
from remit.workload.token import LONGEST_TOKEN

COMMANDS = ("ona", "gitpod", "gp")  # Ona's, the same under its former name, and that of Gitpod Classic
VARIABLES = ("GITPOD_ENVIRONMENT_ID", "GITPOD_WORKSPACE_ID")
SECONDS = 15.0
_MEND = "run it inside an Ona or Gitpod environment, where `ona idp token --audience AUDIENCE` prints a token"


def fetch(audience: str) -> str:
    """Has the environment's command print a token with this audience; raises NoWorkloadIdentity."""
    program = command()
    if program is None:
        raise NoWorkloadIdentity(f"none of {', '.join(COMMANDS)} is on the PATH", advice=_MEND)
    # Both of its outputs are pipes that are read to a limit: a program that prints without end is stopped.
    with subprocess.Popen(  # noqa: S603 - the platform's own command, by its absolute path; no shell reads the audience
        [program, "idp", "token", "--audience", audience],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        watch = threading.Timer(SECONDS, _stop, [process])
        watch.start()
        try:
            return _printed(process, Path(program).name)
        finally:
            watch.cancel()
            _stop(process)


def command() -> str | None:
    """Returns the absolute path of the environment's command; None where there is none."""
    found = (shutil.which(name) for name in COMMANDS)
    # NOTE: an empty or relative entry of PATH would run whatever lies in the folder that the agent works in.
    return next((path for path in found if path is not None and Path(path).is_absolute()), None)


def _printed(process: "subprocess.Popen[bytes]", name: str) -> str:
    """Returns what the command printed."""
    if process.stdout is None or process.stderr is None:  # pragma: no cover - both are pipes
        raise NoWorkloadIdentity(f"`{name} idp token` has no output")
    said: list[bytes] = []
    errors = process.stderr
    reader = threading.Thread(target=lambda: said.append(errors.read(LONGEST_TOKEN)), daemon=True)
    reader.start()
    printed = process.stdout.read(LONGEST_TOKEN + 1)
    if len(printed) > LONGEST_TOKEN:
        raise NoWorkloadIdentity(f"`{name} idp token` printed more than a token")
    code = process.wait()
    reader.join(1.0)
    if code != 0:
        why = harmless(b"".join(said).decode("utf-8", "replace")) or "it said nothing"
        ended = f"gave no answer within {SECONDS:.0f} seconds" if code == -signal.SIGKILL else f"ended with {code}"
        raise NoWorkloadIdentity(f"`{name} idp token` {ended}: {why}", advice=_MEND)
    return printed.decode("ascii", "replace")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the command with whatever it started, unless it has ended: its number may be another's by then."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
