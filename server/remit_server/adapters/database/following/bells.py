"""What rings when another process may have committed something: a look at the file, or a server's notification.

A bell may ring for nothing, and it rings every now and then by itself. What has happened is in the table.
"""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from remit_server.adapters.database.engine import sqlite_path
from remit_server.config.postgresql import is_postgresql

LOOK_EVERY: Final = 0.1  # seconds, at a file: a look takes some microseconds


class Bell(Protocol):
    """Rings when something may have been committed."""

    async def rings(self) -> None:
        """Returns when it may be worth looking into the table; used by one task."""
        ...

    async def close(self) -> None:
        """Ends what it holds open."""
        ...


def bell_of(url: str | Path, *, password_file: Path | None = None) -> Bell:
    """Returns the bell of a database."""
    if not is_postgresql(str(url)):
        return FileBell(sqlite_path(url))
    # A gateway with SQLite loads no driver that it does not use.
    from remit_server.adapters.database.following.server_bell import ServerBell  # noqa: PLC0415

    return ServerBell(str(url), password_file)


class FileBell:
    """Looks at a file of SQLite ten times a second: its version changes with each commit of another connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-bell")
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None

    async def rings(self) -> None:
        """Returns once the file has changed since the last time that it rang; at first at once."""
        while True:
            seen = await asyncio.get_running_loop().run_in_executor(self._thread, self._version)
            if seen is None or seen != self._seen:
                self._seen = seen
                return
            await asyncio.sleep(LOOK_EVERY)

    async def close(self) -> None:
        """Closes the file after the look that may be under way."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _version(self) -> int | None:
        """Returns the version of the file, or None when it cannot be looked at: its readers will say why."""
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, check_same_thread=False)
            with closing(self._connection.execute("PRAGMA data_version")) as answer:
                return int(answer.fetchone()[0])
        except sqlite3.Error:
            self._close()
            return None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
