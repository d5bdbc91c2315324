"""Serves one task's credentials to programs that are not started here: those of the other containers of a pod."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from remit.local.broker import Broker, Held, Keeping
from remit.local.container import HOST, ContainerEndpoint
from remit.local.errors import InvalidSettings
from remit.local.running.running import Beginning, Wanted
from remit.local.running.signals import Signals
from remit.local.running.words import got
from remit.local.sharing.answers import told_of

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """Where programs find it: a port on loopback, and the file with the token that they have to show there."""

    port: int
    token_file: Path
    is_groups: bool


def serve_task(wanted: Wanted, place: Place, *, say: Callable[[str], None]) -> int:
    """Serves until a signal says to leave, and returns the exit code; the task ends with it.

    The token's file is written once there are credentials, and removed at the end: where it is, the endpoint answers. A
    task whose time or lease is over is followed by another; one that somebody revoked is not. Raises RemitError when
    there are no credentials to begin with.
    """
    with Signals() as signals, Broker(Keeping(restarts=True, ends_idle=False, stays_warm=True)) as broker:
        held = broker.hold(wanted.wish, wanted.caller, alone=True)
        with _listening(held, place.port) as endpoint:
            beginning = Beginning(held, wanted, say)
            beginning.start(signals.wake)
            left = signals.wait_for(beginning.is_done)
            if left is not None:
                beginning.leave()
                return 128 + left
            beginning.result()
            with _written(place, endpoint.token.reveal()):
                if held.task is not None:
                    say(got(held.task.grant))
                say(f"answering at {endpoint.address}; the token to show is in {place.token_file}")
                signals.wait_for(lambda: False)
    return 0


def _listening(held: Held, port: int) -> ContainerEndpoint:
    """Returns the endpoint; raises InvalidSettings where its port is taken."""
    try:
        return ContainerEndpoint(held.credentials, partial(told_of, held), port=port)
    except OSError as error:
        raise InvalidSettings(
            f"nothing can listen on {HOST}:{port}: {error.strerror}", advice="give another --port"
        ) from None


@contextmanager
def _written(place: Place, token: str) -> Iterator[None]:
    """Writes the token to its file, which appears at once and whole, and removes it at the end of the block."""
    file = place.token_file
    new = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(new, _NEW_FILE, 0o600), "w") as opened:
            os.fchmod(opened.fileno(), 0o640 if place.is_groups else 0o600)
            opened.write(token)
        new.replace(file)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise InvalidSettings(
            f"{file} cannot be written: {error.strerror}",
            advice="give --token-file in a folder that this user may write",
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()
