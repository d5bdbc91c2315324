"""Tokens that are there already: in a file that somebody keeps fresh, or in a variable of this process."""

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from remit.secret import Secret
from remit.workload.failing import NoWorkloadIdentity
from remit.workload.token import LONGEST_TOKEN, checked, unverified_end

KUBERNETES_FILE = "/var/run/secrets/remit/token"
GITLAB_VARIABLE = "REMIT_ID_TOKEN"
_EXPIRED = "WORKLOAD_TOKEN_EXPIRED"


def read_file(path: Path, *, mend: str, stale: str) -> str:
    """Returns a file's token, as it is now; `mend` says what to do for a missing one, `stale` for one that is over."""
    try:
        # NOTE: a pipe or a device would be waited for without end.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(opened, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NoWorkloadIdentity(f"{path} is no file", advice=mend)
            held = Secret(file.read(LONGEST_TOKEN + 1))
    except OSError as error:
        raise NoWorkloadIdentity(f"the token file {path} cannot be read: {error.strerror}", advice=mend) from None
    return _unless_over(_text(held, f"the file {path}"), f"the token in {path}", stale)


def read_variable(name: str, environ: Mapping[str, str], *, mend: str, stale: str) -> str:
    """Returns a variable's token; `mend` says what to do where there is none, `stale` for one that is over."""
    held = Secret(environ.get(name, ""))
    if not held.reveal().strip():
        raise NoWorkloadIdentity(f"the variable {name} is {'empty' if name in environ else 'not set'}", advice=mend)
    return _unless_over(checked(held, f"the variable {name}", is_jwt=False), f"the token in {name}", stale)


def _text(held: Secret[bytes], what: str) -> Secret[str]:
    """Reads a token's bytes."""
    try:
        return checked(Secret(held.reveal().decode("ascii")), what, is_jwt=False)
    except UnicodeDecodeError:
        raise NoWorkloadIdentity(f"{what} holds no token: it is not ASCII") from None


def _unless_over(token: Secret[str], what: str, stale: str) -> str:
    """Returns the token; refuses one whose own `exp` has passed, which the gateway would refuse with fewer words."""
    end = unverified_end(token)
    if end is not None and end <= time.time():
        told = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(end, 0.0)))
        raise NoWorkloadIdentity(f"{what} was good until {told}, which is over", advice=stale, reason=_EXPIRED)
    return token.reveal()
