"""How long PostgreSQL is waited for: connections that give up a silent server, and turns among the replicas."""

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from psycopg.waiting import Ready, Wait
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from remit_server.adapters.database.engine.turns import AFTER_A_FAILURE, LONGEST, TurnNotGot
from remit_server.adapters.database.writing.prepared import run_text

T = TypeVar("T")

LOCK: Final = int.from_bytes(b"remit", "big")  # the advisory lock of those who write to a ledger, in each database
_EVENTS: Final = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}
_INTERVAL: Final = 0.1  # seconds between two looks at who holds the database
LIMIT: Final = 5.0  # seconds that the server may say nothing while it is at a statement
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}; {}SELECT pg_advisory_xact_lock({})"
_UNHURRIED: Final = "SET LOCAL statement_timeout = 0; "
# Whose transaction it is, and what it is at: either changes where somebody gets on.
_HOLDER: Final = f"""
SELECT lock.virtualtransaction, activity.state_change
FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND lock.classid = {LOCK >> 32} AND lock.objid = {LOCK & 0xFFFFFFFF}
"""  # noqa: S608 - two numbers of ours


class NoAnswer(TimeoutError):  # noqa: N818 - named for what it says
    """The server takes what it is sent and says nothing."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is given up when the server says nothing for `limit` seconds; None waits for ever."""

    limit: float | None = None
    look: Callable[[], None] | None = None  # called every now and then instead, while a statement waits for its turn

    def wait(self, gen: Any, interval: float = _INTERVAL, timeout: float | None = None) -> Any:
        """Waits for the server; raises NoAnswer, and whatever `look` raises, after closing the connection.

        NOTE: the server's details of an error hold the values of a row, so they are left out of what is raised.
        """
        try:
            if timeout is not None:
                return super().wait(gen, interval, timeout)
            return self._wait(gen)
        except TimeoutError:
            self.pgconn.finish()
            raise
        except psycopg.Error as error:
            if error.diag.message_primary:
                error.args = (error.diag.message_primary,)
            raise

    def _wait(self, gen: Any) -> Any:
        """Waits as psycopg does (`wait_selector`), and counts the intervals in which nothing came, or looks then."""
        watched, silent = select.poll(), 0.0
        try:
            asked = next(gen)
            while True:
                watched.register(self.pgconn.socket, _EVENTS[asked])
                found = watched.poll(_INTERVAL * 1000)
                silent = 0.0 if found else silent + _INTERVAL
                if silent and self.look is not None:
                    self.look()
                elif self.limit is not None and silent >= self.limit:
                    raise NoAnswer("the database does not answer")
                asked = gen.send(_ready(found[0][1]) if found else Ready.NONE)
        except StopIteration as done:
            return done.value


class ServerTurns:
    """Takes turns with the other replicas, by a lock of the server that is given in the order of asking.

    `patience` is how many seconds the others may take without any of them getting on before a turn is given up.
    """

    def __init__(self, reader: Engine, patience: float) -> None:
        self._reader = reader
        self._patience = patience
        self._failed = False
        self.since: float | None = None  # monotonic: when the turn was asked for, or somebody was seen to get on

    @contextmanager
    def taken(self, at_least: float = 0.0) -> Iterator[float]:
        """Yields the seconds that the transaction may wait for the others while none of them gets on.

        After a failure, the next turn is asked for with less patience, so that a caller who comes twice is not kept
        waiting twice; `at_least` says how much it must be all the same.
        """
        patience = max(at_least, min(self._patience, AFTER_A_FAILURE) if self._failed else self._patience)
        self._failed = True
        self.since = time.monotonic()
        try:
            yield patience
            self._failed = False
        finally:
            self.since = None

    def begins(self, raw: PatientConnection, seconds: float) -> None:
        """Has the connection look who has the lock while it waits for it.

        Where more patience is asked for than usual nobody waits for an answer: its statements may take their time.
        """
        raw.look = _Watch(self, seconds)
        raw.limit = None if seconds > self._patience else LIMIT

    def begin(self, connection: Connection) -> None:
        """Begins a transaction in its turn; raises TurnNotGot, and DBAPIError after the longest wait that there is."""
        raw: Any = connection.connection.driver_connection
        longest = max(LONGEST, raw.look.patience)
        try:
            unhurried = _UNHURRIED if raw.limit is None else ""
            run_text(connection, _BEGIN.format(int(longest * 1000), unhurried, LOCK))
        finally:
            raw.look = None

    def gets_on(self) -> None:
        """Says that the transaction which has the turn is slow rather than stuck; the others see its statements."""
        self.since = time.monotonic()

    def holder(self) -> tuple[Any, ...] | None:
        """Returns whose transaction has the lock and what it is at; None where nobody has it, or it cannot be told."""
        try:
            with self._reader.connect() as connection:
                found = connection.exec_driver_sql(_HOLDER).first()
        except (SQLAlchemyError, OSError):
            return None
        return None if found is None else tuple(found)

    def close(self) -> None:
        """Has nothing of its own."""


class _Watch:
    """Looks at whoever has the lock, and counts the time in which nobody got on."""

    def __init__(self, turns: ServerTurns, patience: float) -> None:
        self.patience = patience
        self._turns = turns
        self._spent = 0.0
        self._looked = time.monotonic()
        self._seen: tuple[Any, ...] | None = None

    def __call__(self) -> None:
        """Raises TurnNotGot once nobody has got on for too long.

        A pause between two looks is charged at no more than two intervals: where this process is short of time, the
        one that has the lock is likely to be short of it too, and not stuck.
        """
        now = time.monotonic()
        self._spent += min(now - self._looked, 2 * _INTERVAL)
        self._looked = now
        before, self._seen = self._seen, self._turns.holder() or self._seen
        if before is not None and before != self._seen:
            self._spent = 0.0
            self._turns.gets_on()
        elif self._spent >= self.patience:
            raise TurnNotGot("another process holds the database and does not get on")


def _ready(found: int) -> Ready:
    """Returns what poll(2) found in psycopg's words; an error on the socket is found by reading it."""
    if found & ~(select.POLLIN | select.POLLOUT):
        return Ready.RW
    return Ready(bool(found & select.POLLIN) * Ready.R | bool(found & select.POLLOUT) * Ready.W)
