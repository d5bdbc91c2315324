"""The steps of a use case, and the process that kills itself at one of them.

They are hooked from outside, through the ports and the driver's own connection, never by code in the gateway.
"""

import inspect
import json
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

WRITER: Final = "ledger-write"
LONGEST_LINE: Final = 4096  # what pipe(7) takes in one piece


@dataclass(slots=True)
class Steps:
    """Counts steps once it is armed, and ends the process (SIGKILL) at the one that it is told.

    `out` is the pipe to whoever judges: a line is there before what follows it happens.
    """

    out: int
    child: int = 0
    kill_at: int | None = None
    is_armed: bool = False
    count: int = 0

    def tell(self, what: str, **values: Any) -> None:
        """Writes one line, whole."""
        line = json.dumps({"what": what, "child": self.child, **values}).encode() + b"\n"
        assert len(line) <= LONGEST_LINE, line
        assert os.write(self.out, line) == len(line)

    def __call__(self, place: str) -> None:
        """Takes one step."""
        if not self.is_armed:
            return
        self.count += 1
        if self.count == self.kill_at:
            self.tell("killed", place=place, step=self.count)
            os.kill(os.getpid(), signal.SIGKILL)


class Stepped:
    """A port: every call of it is one step before it and one after it, before its answer is used."""

    def __init__(self, port: Any, name: str, steps: Steps) -> None:
        self._port = port
        self._name = name
        self._steps = steps

    def __getattr__(self, verb: str) -> Any:
        found = getattr(self._port, verb)
        return self._stepped(found, f"{self._name}.{verb}") if inspect.iscoroutinefunction(found) else found

    async def __call__(self, *values: Any, **more: Any) -> Any:
        """Calls a port that is a function."""
        return await self._stepped(self._port, self._name)(*values, **more)

    def _stepped(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        async def stepped(*values: Any, **more: Any) -> Any:
            self._steps(f"before {name}")
            try:
                return await call(*values, **more)
            finally:
                self._steps(f"after {name}")

        return stepped


def hook_databases(steps: Steps) -> None:
    """Makes a step of what the ledger's writer sends to the driver of its database from now on.

    Before each statement, before the commit and after it. Each connection that is opened later is such a one.
    """

    def step(place: str) -> None:
        if threading.current_thread().name.startswith(WRITER):
            steps(place)

    ours = _file_connection(step)

    def use_ours(dialect: Any, _record: Any, _positional: Any, named: dict[str, Any]) -> None:
        if dialect.name == "sqlite":
            named["factory"] = ours

    event.listen(Engine, "do_connect", use_ours)
    event.listen(Pool, "connect", lambda connection, _: _hook_server(connection, step))


def _file_connection(step: Callable[[str], None]) -> type[sqlite3.Connection]:
    """Returns a connection to SQLite, whose own type cannot be changed."""

    class Cursor(sqlite3.Cursor):
        def execute(self, text: str, *values: Any) -> "Cursor":
            step(_named(text))
            return super().execute(text, *values)

        def executemany(self, text: str, *values: Any) -> "Cursor":
            step(_named(text))
            return super().executemany(text, *values)

    class Connection(sqlite3.Connection):
        def cursor(self, _factory: Any = None) -> Cursor:  # type: ignore[override]
            return super().cursor(Cursor)

        def commit(self) -> None:
            step("before COMMIT")
            super().commit()
            step("after COMMIT")

    return Connection


def _hook_server(connection: Any, step: Callable[[str], None]) -> None:
    """Does the same to a connection of a driver that is written in Python."""
    if isinstance(connection, sqlite3.Connection):
        return

    class Cursor(connection.cursor_factory):  # type: ignore[misc]
        def execute(self, query: Any, *values: Any, **more: Any) -> Any:
            step(_named(str(query)))
            return super().execute(query, *values, **more)

        def executemany(self, query: Any, *values: Any, **more: Any) -> Any:
            step(_named(str(query)))
            return super().executemany(query, *values, **more)

        def copy(self, statement: Any, *values: Any, **more: Any) -> Any:
            step(f"before INSERT {str(statement).split()[1]}")  # of many rows, in the words of this database: COPY
            return super().copy(statement, *values, **more)

    commit = connection.commit

    def stepped() -> None:
        step("before COMMIT")
        commit()
        step("after COMMIT")

    connection.cursor_factory = Cursor
    connection.commit = stepped


def _named(text: str) -> str:
    """Returns a statement as a step is called: its verb and its table."""
    words = text.replace("(", " ").split()
    if words[0] == "SELECT" and "FROM" in words:
        return f"before SELECT {words[words.index('FROM') + 1]}"
    return "before " + " ".join(word for word in words[:3] if word not in {"INTO", "FROM", "SET"})
