"""Runs one command for as long as it takes, with one task's credentials at a loopback endpoint."""

import os
import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from remit.errors import ApprovalPending, RemitError
from remit.grant import Credentials
from remit.local.broker import Broker, Held, Keeping
from remit.local.connecting import gateway_of
from remit.local.container import ContainerEndpoint
from remit.local.errors import NoSuchCommand, NotExecutable
from remit.local.running.environment import command_environment
from remit.local.running.signals import Signals
from remit.local.running.words import got
from remit.local.sharing.answers import told_of
from remit.local.tokens import variables_of
from remit.local.wishes import Caller, Wish

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0  # seconds between two questions whether people have decided
_RESET = (signal.SIGPIPE, signal.SIGXFSZ)  # which Python ignores, and commands expect as they are


@dataclass(frozen=True, slots=True)
class Wanted:
    """A command and the wish that it runs on; `waits` for people who have to approve it."""

    command: tuple[str, ...]
    wish: Wish
    caller: Caller
    waits: bool


def run_command(wanted: Wanted, *, say: Callable[[str], None]) -> int:
    """Runs it and returns its exit code: 128 + n for one that signal n ended, 126 and 127 for one that cannot be run.

    The task is begun before the command is, and ended after it, in every way of leaving; when this process is killed it
    ends by its lease. Signals go on to the command. Raises RemitError when there are no credentials to run it with.
    """
    _check_there(wanted.command[0])
    with Signals() as signals, Broker(Keeping(ends_idle=False, stays_warm=True)) as broker:
        held = broker.hold(wanted.wish, wanted.caller, alone=True)
        beginning = Beginning(held, wanted, say)
        beginning.start(signals.wake)
        left = signals.wait_for(beginning.is_done)
        if left is not None:
            beginning.leave()
            return 128 + left
        first = beginning.result()
        with ContainerEndpoint(held.credentials, partial(told_of, held)) as endpoint:
            secret = [name for text in _sources(wanted.caller) for name in variables_of(text)]
            region = wanted.wish.region or first.region
            environ = command_environment(os.environ, endpoint.environment(), region=region, secret=secret)
            if held.task is not None:
                say(got(held.task.grant))
            return _ran(wanted.command, environ, signals)


class Beginning:
    """Begins the task in a thread, so that the main thread hears signals meanwhile; waits for people if it is to."""

    def __init__(self, held: Held, wanted: Wanted, say: Callable[[str], None]) -> None:
        self._held = held
        self._wanted = wanted
        self._say = say
        self._left = threading.Event()
        self._begun: Future[Credentials] = Future()
        self._pending: ApprovalPending | None = None

    def start(self, wake: Callable[[], None]) -> None:
        """Starts the thread; `wake` is called at its end."""
        self._begun.add_done_callback(lambda _: wake())
        threading.Thread(target=self._run, name="remit-beginning", daemon=True).start()

    def is_done(self) -> bool:
        """Says whether it has begun, or failed."""
        return self._begun.done()

    def result(self) -> Credentials:
        """Returns the first credentials; raises RemitError."""
        return self._begun.result()

    def leave(self) -> None:
        """Stops waiting, and tells the gateway that nobody comes back for what people were asked."""
        self._left.set()
        if self._pending is not None:
            with suppress(RemitError), gateway_of(self._wanted.caller) as gateway:
                gateway.end_task(self._pending.task_id)

    def _run(self) -> None:
        try:
            self._begun.set_result(self._waited())
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._begun.set_exception(error)

    def _waited(self) -> Credentials:
        """Returns the first credentials, asking again while people are waited for."""
        pause = FIRST_PAUSE
        while True:
            try:
                return self._held.credentials()
            except ApprovalPending as pending:
                if not self._wanted.waits or self._left.is_set() or _is_lapsed(pending):
                    raise
                if self._pending is None:
                    self._say(f"waiting: {pending.advice.partition(';')[0]}")
                self._pending = pending
            self._left.wait(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _is_lapsed(pending: ApprovalPending) -> bool:
    """Says whether nobody can decide any more."""
    return pending.lapse_time is not None and datetime.now(UTC) >= pending.lapse_time


def _check_there(program: str) -> None:
    """Raises NoSuchCommand before a task is begun for a program that is not there."""
    if shutil.which(program) is None and not Path(program).exists():
        raise _no_such(program)


def _no_such(program: str) -> NoSuchCommand:
    return NoSuchCommand(f"there is no command {program!r}", advice="check its name and PATH")


def _ran(command: tuple[str, ...], environ: dict[str, str], signals: Signals) -> int:
    """Starts the command and waits for its end."""
    try:
        process = os.posix_spawnp(command[0], command, environ, setsigmask=signals.before, setsigdef=_RESET)
    except FileNotFoundError:
        raise _no_such(command[0]) from None
    except OSError as error:
        raise NotExecutable(
            f"{command[0]!r} cannot be run: {error.strerror}", advice="check that it is a program"
        ) from None
    return signals.pass_on_to(process)


def _sources(caller: Caller) -> tuple[str, ...]:
    """Returns the texts of the token sources in use."""
    bearer = caller.settings.gateway.bearer
    return (caller.settings.subject_token, *((bearer,) if bearer else ()))
