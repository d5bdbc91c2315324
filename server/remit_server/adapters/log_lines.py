"""Writes log lines to standard error, and waits for nobody who does not take them.

The log is no audit trail: promises do not rest on it, so a log collector that stands still, or a full disk behind it,
must not hold up the event loop (8-threats.md, "audit sink blocked"). What is not taken is dropped, counted, and said.
"""

import errno
import logging
import os
import select
import socket
import stat
import weakref
from collections.abc import Callable
from functools import partial
from typing import Final, TextIO, TypeAlias

_AT_ONCE: Final = select.PIPE_BUF  # what a pipe that can be written to takes without making its writer wait
_PATIENCE_MILLISECONDS: Final = 50  # once; then nothing is waited for until something was taken again
_TRIES: Final = 16  # so often may another process take the room before it is used; then a line is dropped

_Write: TypeAlias = Callable[[bytes], int]  # raises BlockingIOError instead of waiting


class LogLines(logging.Handler):
    """Writes each record as a line to a file descriptor that is not this process's alone."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        own, self._write, close = _unwaiting(descriptor)
        weakref.finalize(self, close).atexit = False  # what is logged at the very end is written too
        self._room = select.poll()
        self._room.register(own, select.POLLOUT)
        self._dropped = 0
        self._is_cut = False  # the last line is not whole
        self._stands_still = False

    @property
    def dropped(self) -> int:
        """How many records were dropped and are not yet told of."""
        return self._dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, after a word about those before it that were dropped."""
        try:
            line = self.format(record)
            if self._dropped:
                missing = self._dropped
                said = logging.makeLogRecord(
                    {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
                    | {"msg": "%d lines of the log were dropped: nobody took them", "args": (missing,)}
                )
                if not self._written(self.format(said)):
                    self._dropped += 1
                    return
                self._dropped -= missing
            if not self._written(line):
                self._dropped += 1
        except Exception:  # noqa: BLE001 - as logging's own handlers do: a log is no reason to fail
            self.handleError(record)

    def _written(self, line: str) -> bool:
        """Says whether a line was taken; one of which only a part was is ended before the next."""
        rest = (b"\n" if self._is_cut else b"") + line.encode("utf-8", "backslashreplace") + b"\n"
        taken = 0
        while rest and (count := self._put(rest[:_AT_ONCE])):
            taken, rest = taken + count, rest[count:]
        if taken:
            self._is_cut = bool(rest)
        return not rest

    def _put(self, piece: bytes) -> int:
        """Writes what is taken of a piece without waiting long, and returns how many bytes that was."""
        for _ in range(_TRIES):
            if not self._takes():
                break
            try:
                return self._write(piece)
            except BlockingIOError:  # another process was quicker
                continue
            except OSError:  # a disk that is full, or nobody at the other end
                break
        return 0

    def _takes(self) -> bool:
        """Says whether a piece can be written without waiting long."""
        found = self._room.poll(0 if self._stands_still else _PATIENCE_MILLISECONDS)
        self._stands_still = not any(event & select.POLLOUT for _, event in found)
        return not self._stands_still


def _unwaiting(descriptor: int) -> tuple[int, _Write, Callable[[], None]]:
    """Returns a descriptor for the same place, what writes there and never waits, and what closes it.

    NOTE: whether a write waits is said of an open file, which all who inherited it share: it is opened anew for us.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        own = socket.socket(fileno=os.dup(descriptor))
        return own.fileno(), lambda piece: own.send(piece, socket.MSG_DONTWAIT), own.close
    kept = os.dup(descriptor)
    close = partial(os.close, kept)
    if stat.S_ISREG(mode):  # makes nobody wait; opened anew, it would not share its position with others' writes
        return kept, partial(os.write, kept), close
    try:
        fresh = os.open(f"/proc/self/fd/{kept}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # a pipe of another user
        return kept, partial(_write_at_once, kept), close
    close()
    return fresh, partial(os.write, fresh), partial(os.close, fresh)


def _write_at_once(descriptor: int, piece: bytes) -> int:
    """Writes without waiting, where the kernel can do that for such a place; an older one may have it wait."""
    try:
        return os.pwritev(descriptor, (piece,), -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return os.write(descriptor, piece)


def log_lines(stream: TextIO) -> logging.Handler:
    """Returns the handler for a stream: by its descriptor, or through the stream itself where it has none."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream in memory
        return logging.StreamHandler(stream)
    return LogLines(descriptor)
