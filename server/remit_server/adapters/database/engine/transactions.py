"""Transactions of one engine, on connections that stay open.

To take a connection out of SQLAlchemy's pool and to give it back costs as much as ten statements.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ConnectionLost(OSError):  # noqa: N818 - named for what it says
    """The server has ended the connection before the transaction began."""


class OutcomeUnknown(Exception):  # noqa: N818 - named for what it says
    """The database was lost while it committed: what was written may be there or not; `result` is what work gave."""

    def __init__(self, result: Any) -> None:
        super().__init__("the database was lost while it committed")
        self.result = result


class Transactions:
    """Runs work in transactions of an engine, as many at a time as its pool has connections, in any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: deque[Connection] = deque()
        event.listen(engine, "engine_disposed", lambda _: self._drop_idle())

    def committed(self, work: Callable[[Connection], T], begins: Callable[[Any], None]) -> T:
        """Runs the work in one transaction and commits it; a connection that failed is dropped.

        `begins` is given the driver's connection before the transaction begins.
        """
        connection = self._begun(begins)
        try:
            result = work(connection)
            _commit(connection, result)
        except BaseException:
            _drop(connection)
            raise
        self._idle.append(connection)
        return result

    def rolled_back(self, work: Callable[[Connection], T]) -> T:
        """Runs the work in one transaction that is rolled back: a commit fails on a damaged file that was read."""
        connection = self._begun(None)
        try:
            result = work(connection)
            connection.rollback()
        except BaseException:
            _drop(connection)
            raise
        self._idle.append(connection)
        return result

    def close(self) -> None:
        """Closes every connection that no transaction is on."""
        self._engine.dispose()

    def _drop_idle(self) -> None:
        while self._idle:
            _drop(self._idle.pop())

    def _begun(self, begins: Callable[[Any], None] | None) -> Connection:
        """Returns a connection whose transaction has begun; one that was lost while it was idle is replaced, once."""
        try:
            return self._begin(begins)
        except ConnectionLost:
            _log.info("the connection to the database was lost while it was idle: connecting anew")
            self.close()  # the others were lost as well
        return self._begin(begins)

    def _begin(self, begins: Callable[[Any], None] | None) -> Connection:
        """Takes a connection and begins its transaction; raises ConnectionLost where the server has ended it."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._engine.connect()
        raw: Any = connection.connection.driver_connection  # through SQLAlchemy it would begin the transaction
        try:
            if begins is not None:
                begins(raw)
            connection.begin()
        except BaseException as error:
            was_lost = isinstance(error, DBAPIError) and getattr(raw, "broken", False)
            _drop(connection)
            if was_lost:
                raise ConnectionLost("the database has ended the connection") from error
            raise
        return connection


def _drop(connection: Connection) -> None:
    """Closes a connection for good."""
    connection.invalidate()
    connection.close()


def _commit(connection: Connection, result: Any) -> None:
    """Commits; raises OutcomeUnknown where only the server knows whether it is done.

    SQLite is in this process: what it could not commit is not done.
    """
    try:
        connection.commit()
    except (DBAPIError, OSError) as error:
        if connection.dialect.name == "sqlite":
            raise
        raise OutcomeUnknown(result) from error
