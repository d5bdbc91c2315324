"""Signals as a command's parent takes them: one after the other, and knowing whom they were meant for."""

import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2})
LEAVING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_WOKEN = signal.SIGCHLD
_FROM_THE_KERNEL = 0x80  # SI_KERNEL: a terminal sent it, to every process in the foreground, this one's child too


class Signals:
    """Blocks signals for the main thread and every thread that is started meanwhile; the main thread waits for them.

    Enter it before any other thread is started: `with Signals() as signals:`.
    """

    def __enter__(self) -> Self:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON | {_WOKEN})
        self._main = threading.get_ident()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while signal.sigtimedwait(PASSED_ON | {_WOKEN}, 0) is not None:
            """What came while the task was being ended has been obeyed: this process is about to leave."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    @property
    def before(self) -> set[signal.Signals]:
        """What was blocked before, as a command is to inherit it."""
        return {signal.Signals(number) for number in self._before}

    def wake(self) -> None:
        """Makes the main thread look again; for other threads."""
        signal.pthread_kill(self._main, _WOKEN)

    def wait_for(self, is_done: Callable[[], bool]) -> signal.Signals | None:
        """Returns None once it is done, or a signal that says to leave."""
        while not is_done():
            number = signal.sigwait(PASSED_ON | {_WOKEN})
            if number in LEAVING:
                return signal.Signals(number)
        return None

    def pass_on_to(self, process: int) -> int:
        """Passes signals on to a child until it ends, and returns its exit code, 128 + n for one that a signal ended.

        What a terminal sends to everybody in its foreground the child has had already: twice would mean twice.
        """
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            received = signal.sigwaitinfo(PASSED_ON | {_WOKEN})
            if received.si_signo in PASSED_ON and received.si_code != _FROM_THE_KERNEL:
                os.kill(process, received.si_signo)
