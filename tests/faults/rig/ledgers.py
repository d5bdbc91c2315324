"""What may happen to a ledger while a gateway runs: its disk fills up or refuses writes, its server is gone."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from tests.real_postgresql import PostgresqlServer


@contextmanager
def small_disk(folder: Path, *, megabytes: int = 4) -> Iterator[Path]:
    """Gives a disk of some megabytes; skips where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here, which takes root: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607 - a fixed command


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Leaves no byte on a disk, and then gives the room back."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(writer: Engine) -> Iterator[None]:
    """Has SQLite refuse every write: a disk with files open for writing cannot be made read-only."""

    def refuse(connection: Any) -> None:
        connection.connection.driver_connection.execute("PRAGMA query_only=ON").close()

    event.listen(writer, "begin", refuse)
    try:
        yield
    finally:
        event.remove(writer, "begin", refuse)


@contextmanager
def gone(server: PostgresqlServer) -> Iterator[None]:
    """Ends all of a server at once, and starts it again."""
    server.crash()
    try:
        yield
    finally:
        server.start()
