"""A clock by which the ledger's writer stands still, as it does on a disk that does not answer."""

import threading
from datetime import datetime

from tests.fakes import FakeClock

WRITER = "ledger-write"


class StallingClock(FakeClock):
    """Holds the writer in the middle of a transaction, where it asks for the time: no real disk stalls when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self._let_go = threading.Event()
        self._stalls_in: int | None = None

    def stall(self, *, after: int = 0) -> None:
        """Stalls the next transaction, or a later one."""
        self.reached.clear()
        self._let_go.clear()
        self._stalls_in = after

    def go_on(self) -> None:
        """Lets the transaction end that stands still."""
        self._let_go.set()

    def now(self) -> datetime:
        if self._stalls_in is not None and threading.current_thread().name.startswith(WRITER):
            if self._stalls_in == 0:
                self._stalls_in = None
                self.reached.set()
                self._let_go.wait(60)
            else:
                self._stalls_in -= 1
        return super().now()
