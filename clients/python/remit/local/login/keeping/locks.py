"""One at a time, over all of a user's processes: a lock that ends with whoever holds it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remit.local.errors import LoginBusy

_PAUSE = 0.05


@contextmanager
def held(file: Path, seconds: float) -> Iterator[None]:
    """Holds the lock while the block runs; raises LoginBusy when another holds it for longer than `seconds`."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, end: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise LoginBusy("another remit process holds the sign-in", advice="try again in a minute") from None
            time.sleep(_PAUSE)
        else:
            return
