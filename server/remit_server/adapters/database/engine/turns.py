"""Whose turn it is to write, among the processes that share one database file.

SQLite's own wait for the write lock sleeps up to 100 ms between its looks, and whoever has just committed is back
before the sleeper has looked: with two busy writers one append in a hundred then waits for half a second. Here who
waits is next before the one that has just had its turn, and looks every half of a millisecond.

Two bytes of a file beside the database are locked (fcntl(2), advisory): the turn, and to be next. Who is next waits
for the turn alone, so whoever gives it up cannot overtake. The kernel gives back the locks of a process that ends. They
are for fairness only: what keeps writers apart is SQLite's own lock, which every transaction still takes.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

AFTER_A_FAILURE: Final = 0.15  # the holder is likely to be still stuck, and this caller may have waited once already
LONGEST: Final = 5.0  # even where the others get on
_TURN, _NEXT, _MARK = 0, 1, 8  # places in the file: two bytes to lock, then when the last turn was
_MARK_BYTES: Final = 8
_TELL_EVERY: Final = 0.1  # seconds of a turn
_CHARGED: Final = 0.005
_LOOK_EVERY: Final = {_TURN: 0.0005, _NEXT: 0.002}  # one process waits for the turn, all others to be next


class TurnNotGot(TimeoutError):  # noqa: N818 - named for what it says
    """Another process has held the database for too long."""


class FileTurns:
    """Takes turns with the other processes that write to a database; used by one thread. Raises OSError without a file.

    `patience` is how many seconds the others may take without any of them finishing before a turn is given up.
    """

    def __init__(self, database: Path, patience: float) -> None:
        path = database.with_name(f"{database.name}-turns")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._patience = patience
        self._failed = False
        self._told = 0.0
        self._waits: tuple[Any, float] | None = None  # which connection waits for SQLite's own lock, and for how long
        self.since: float | None = None  # monotonic: when the turn was asked for, came, or another one finished

    @contextmanager
    def taken(self, at_least: float = 0.0) -> Iterator[float]:
        """Has the turn while the block runs; yields the seconds that SQLite's own lock may be waited for.

        Raises TurnNotGot. After a failure, its own or the block's, the next turn is asked for with less patience, so
        that a caller who comes twice is not kept waiting twice; `at_least` says how much it must be all the same.
        """
        patience = max(at_least, min(self._patience, AFTER_A_FAILURE) if self._failed else self._patience)
        self._failed = True
        self.since = time.monotonic()
        try:
            self._wait_for_the_turn(patience)
            try:
                self._mark()
                yield patience
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _TURN)
            self._failed = False
        finally:
            self.since = None

    def gets_on(self) -> None:
        """Says that the transaction which has the turn is slow rather than stuck, to those who wait too."""
        self.since = time.monotonic()
        if self.since - self._told >= _TELL_EVERY:
            self._mark()

    def begins(self, raw: Any, seconds: float) -> None:
        """Has SQLite wait for its own lock for so long."""
        if self._waits != (raw, seconds):
            raw.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}").close()
            self._waits = (raw, seconds)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _wait_for_the_turn(self, patience: float) -> None:
        """Waits to be next, then for the turn; raises TurnNotGot."""
        given_up = time.monotonic() + LONGEST
        self._wait_for(_NEXT, patience, given_up)
        try:
            self._wait_for(_TURN, patience, given_up)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _NEXT)

    def _wait_for(self, place: int, patience: float, given_up: float) -> None:
        """Waits for one lock, anew after each turn that another process has had meanwhile.

        A pause between two looks is charged at no more than `_CHARGED`: on a machine that is short of time for this
        process, the one that has the turn is likely to be short of it too, and not stuck.
        """
        if self._got(place):
            return
        spent, turns, looked = 0.0, self._turns_so_far(), time.monotonic()
        while not self._got(place):
            now = time.monotonic()
            spent, looked = spent + min(now - looked, _CHARGED), now
            if spent >= patience:
                before, turns = turns, self._turns_so_far()
                if before == turns or now >= given_up:
                    raise TurnNotGot("another process holds the database and does not get on")
                self.since, spent = now, 0.0
            time.sleep(_LOOK_EVERY[place])

    def _got(self, place: int) -> bool:
        """Takes a lock that is free."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except BlockingIOError:
            return False
        return True

    def _turns_so_far(self) -> bytes:
        """Returns what the last turn left in the file."""
        return os.pread(self._file, _MARK_BYTES, _MARK)

    def _mark(self) -> None:
        """Marks this turn by its time, so that those who wait see that somebody gets on."""
        self._told = time.monotonic()
        os.pwrite(self._file, time.monotonic_ns().to_bytes(_MARK_BYTES, "little"), _MARK)
