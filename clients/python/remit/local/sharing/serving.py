"""Serves a socket of this user's: one JSON line in, one out, each by a thread, all of it bounded."""

import fcntl
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from remit.errors import FieldViolation, InvalidRequest
from remit.local.errors import EndpointRefused
from remit.local.sharing.asking import PROTOCOL, peer_of, read_line
from remit.local.sharing.place import NotTrusted, check_folder
from remit.local.telling import as_json

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
READING_SECONDS = 5.0
WRITING_SECONDS = 5.0
MOST_AT_ONCE = 128
QUEUE = 256


class SocketServer:
    """Answers at a socket of mode 0600 in a folder of mode 0700, and only to processes of this user; close it.

    `answer` is called in threads, at most 128 at once, and may take its time; what it raises is told to who asked.
    Raises EndpointRefused when something answers there already, or when the place is not this user's own.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self._answer = answer
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._inode = self._bind()
        except BaseException:
            self._listening.close()
            raise
        self._thread = threading.Thread(target=self._accept, name="remit-endpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening and takes the socket away; answers that are under way are given."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        with suppress(OSError), _locked(self.path.parent):
            if self.path.lstat().st_ino == self._inode:  # else it is another's by now
                self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _bind(self) -> int:
        """Binds the socket in a folder of its own and returns its inode."""
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_folder(str(folder))
            with _locked(folder):
                self._clear()
                self._listening.bind(str(self.path))
                self.path.chmod(0o600)
                self._listening.listen(QUEUE)
                return self.path.lstat().st_ino
        except NotTrusted as error:
            raise EndpointRefused(str(error), advice="remove it, or name another place in REMIT_SOCKET") from None
        except OSError as error:
            told = f"the socket {self.path} cannot be made: {error.strerror or error}"
            raise EndpointRefused(told, advice="name another place in REMIT_SOCKET") from None

    def _clear(self) -> None:
        """Takes away what a process that was killed left behind; raises EndpointRefused when one is there."""
        with suppress(FileNotFoundError):
            found = self.path.lstat()
            if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
                raise NotTrusted(f"{self.path} is no socket of this user's")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(ConnectionRefusedError):
                probe.connect(str(self.path))
                raise EndpointRefused(
                    f"an endpoint answers at {self.path} already", advice="`remit endpoint stop` stops it"
                )
            self.path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return  # closed
            self._room.acquire()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Answers one connection, whatever happens."""
        try:
            with connection, suppress(OSError):  # whoever is gone needs no answer
                if peer_of(connection) == os.getuid():
                    line = read_line(connection, time.monotonic() + READING_SECONDS)
                    answer = self._answered(line)
                    connection.settimeout(WRITING_SECONDS)
                    connection.sendall(json.dumps(answer).encode() + b"\n")
        finally:
            self._room.release()

    def _answered(self, line: bytes) -> Mapping[str, Any]:
        """Returns the answer to one line, or why there is none."""
        try:
            return {"ok": self._answer(_request(line))}
        except Exception as error:  # noqa: BLE001 - one request must not take the process with it
            return {"error": as_json(error)}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock: whoever makes or takes away a socket in it does so alone."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _request(line: bytes) -> Mapping[str, Any]:
    """Reads one request; raises InvalidRequest."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise InvalidRequest.of(FieldViolation("request", "is one JSON object in one line"))
    if request.get("protocol") != PROTOCOL:
        raise EndpointRefused(
            "this endpoint is of another version of remit", advice="`remit endpoint stop`, then start it again"
        )
    return request
