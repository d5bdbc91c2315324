"""Asks the process behind a socket: one JSON line there, one back.

NOTE: this module is on the way that tools call again and again: it imports a few standard modules and nothing else.
"""

import json
import os
import socket
import struct
import time

from remit.local.sharing.place import NotTrusted, check_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 1
LARGEST_LINE = 64 * 1024
LARGEST_ANSWER = 1024 * 1024
SECONDS = 60.0  # a gateway may take its time to begin a task
_BUSY_PAUSE = 0.02


def ask(path: str, request: "dict[str, Any]", seconds: float = SECONDS) -> "dict[str, Any] | None":
    """Returns the answer; None when nothing answers there. Raises NotTrusted."""
    until = time.monotonic() + seconds
    try:
        check_place(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            _connect(connection, path, until)
            if peer_of(connection) != os.getuid():
                raise NotTrusted(f"the process behind {path} is another user's")
            connection.settimeout(seconds)
            connection.sendall(json.dumps({"protocol": PROTOCOL, **request}).encode() + b"\n")
            line = read_line(connection, until, LARGEST_ANSWER)
    except OSError:
        return None
    return _answer(line, path)


def peer_of(connection: socket.socket) -> int:
    """Returns the user id of the process at the other end, as the kernel knows it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return int(user)


def read_line(connection: socket.socket, until: float, most: int = LARGEST_LINE) -> bytes:
    """Reads up to a line's end, which is not part of what is returned; raises OSError for none in time or in bounds."""
    parts = bytearray()
    while not parts.endswith(b"\n"):
        connection.settimeout(max(until - time.monotonic(), 0.001))
        part = connection.recv(LARGEST_LINE)
        if not part or len(parts) + len(part) > most:
            raise OSError("the line is not whole, or too long")
        parts += part
    return bytes(parts[:-1])


def _connect(connection: socket.socket, path: str, until: float) -> None:
    """Connects, and waits while more programs ask at once than the socket's queue holds."""
    while True:
        try:
            connection.connect(path)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(_BUSY_PAUSE)
        else:
            return


def _answer(line: bytes, path: str) -> "dict[str, Any]":
    """Reads an answer; raises NotTrusted for what is none."""
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not ("ok" in answer or "error" in answer):
        raise NotTrusted(f"what answers at {path} is no endpoint of remit's")
    return answer
