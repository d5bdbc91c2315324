"""Workers that misbehave on purpose under the real supervisor: `python supervised_work.py NAME WORKERS [PACE...]`.

They stand for a gateway because a gateway cannot be told to hang, to fall silent or to crash at a certain moment. Each
line of standard output is one thing that happened, the last one how it ended.
"""

import ctypes
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from remit_server.cli.workers.process import ALIVE, FAILED, SERVING, STOPPING, Say, Work
from remit_server.cli.workers.supervisor import Pace, Supervisor

PR_SET_CHILD_SUBREAPER = 36


def tell(**what: object) -> None:
    """Writes a line at once, whole: several processes share the pipe."""
    os.write(1, json.dumps(what).encode() + b"\n")


def serve(number: int, say: Say) -> int:
    """Serves until it is told to stop, as a good worker does."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    say(SERVING, where="here")
    tell(number=number, pid=os.getpid())
    while not told.wait(0.05):
        say(ALIVE)
    say(STOPPING)
    tell(stopped=number)
    return 0


def crash(number: int, say: Say) -> int:
    """The second worker ends soon after it serves, every time."""
    if number != 2:
        return serve(number, say)
    say(SERVING, where="here")
    tell(number=number, pid=os.getpid())
    return 3


def fail(number: int, say: Say) -> int:
    """The second worker cannot start."""
    if number != 2:
        return serve(number, say)
    say(FAILED, why="the second policy is wrong")
    return 2


def complain(_: int, say: Say) -> int:
    """There is more wrong than a pipe holds."""
    say(FAILED, why="\u2026" * 100_000)
    return 2


def die(_: int, __: Say) -> int:
    """No worker ever gets as far as saying anything."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def shout(_: int, say: Say) -> int:
    """What it printed cannot be written any more when it ends."""
    say(FAILED, why="nobody reads")
    sys.stdout.write("unread")
    os.close(1)
    return 2


def raise_(_: int, __: Say) -> int:
    """A fault of the program."""
    raise ZeroDivisionError


def hang(number: int, say: Say) -> int:
    """The second worker never serves."""
    if number != 2:
        return serve(number, say)
    while True:
        time.sleep(1)


def deaf(number: int, say: Say) -> int:
    """The second worker does not stop when told."""
    if number != 2:
        return serve(number, say)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(SERVING, where="here")
    tell(number=number, pid=os.getpid())
    while True:
        say(ALIVE)
        time.sleep(0.05)


def silent(number: int, say: Say) -> int:
    """The first that is second serves and is never heard again; the one that takes its place is a good one."""
    once = Path(os.environ["ONCE"])
    if number != 2 or once.exists():
        return serve(number, say)
    once.mkdir()
    say(SERVING, where="here")
    tell(number=number, pid=os.getpid())
    while True:
        time.sleep(1)


def leave(number: int, say: Say) -> int:
    """The first that is second ends at a SIGUSR1 and leaves a child behind, which ends a little later."""
    once = Path(os.environ["ONCE"])
    if number != 2 or once.exists():
        return serve(number, say)
    once.mkdir()
    worker, (ready, told) = os.getpid(), os.pipe()
    if os.fork() == 0:
        os.write(told, b".")
        while os.getppid() == worker:
            time.sleep(0.01)
        tell(left=os.getpid())
        os._exit(0)
    os.read(ready, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    say(SERVING, where="here")
    tell(number=number, pid=worker)
    signal.sigwait([signal.SIGUSR1])
    return 3


WORKS: dict[str, Callable[[int, Say], int]] = {
    work.__name__: work for work in (serve, crash, fail, complain, shout, die, raise_, hang, deaf, silent, leave)
}


def main() -> None:
    """Supervises the named work and tells how that ended."""
    if "FIRST" in os.environ:  # as a container's first process, it inherits whatever is left behind
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    logging.basicConfig(level=logging.INFO)
    work: Work = WORKS[sys.argv[1]]
    pace = Pace(*(float(seconds) for seconds in sys.argv[3:]))
    ending = Supervisor(work, int(sys.argv[2]), pace=pace).run()
    tell(code=ending.code, message=ending.message)


if __name__ == "__main__":
    main()
