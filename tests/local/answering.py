"""A socket server whose answers a test makes up: the real server, in this process."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remit.local.sharing.serving import SocketServer


@contextmanager
def answering(folder: Path, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Iterator[Path]:
    """Serves a socket in a private folder below this one, and gives its path."""
    place = folder / "private"
    place.mkdir(mode=0o700, exist_ok=True)
    with SocketServer(place / "endpoint.sock", answer) as server:
        yield server.path
