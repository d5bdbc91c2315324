"""Writes log lines to standard error, and waits for nobody who does not take them.

The log is no audit trail: promises do not rest on it, so a log collector that stands still, or a full disk behind it,
must not hold up the event loop (8-threats.md, "audit sink blocked"). What is not taken is dropped, counted, and said.
"""

import logging
import os
import select
from typing import Final, TextIO

_AT_ONCE: Final = select.PIPE_BUF  # what a pipe that can be written to takes without making its writer wait
_PATIENCE_MILLISECONDS: Final = 50  # once; then nothing is waited for until something was taken again


class LogLines(logging.Handler):
    """Writes each record as a line to a file descriptor that is not this process's alone."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
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
        while rest and self._takes():
            try:
                count = os.write(self._descriptor, rest[:_AT_ONCE])
            except OSError:  # a disk that is full, or nobody at the other end
                break
            taken, rest = taken + count, rest[count:]
        if taken:
            self._is_cut = bool(rest)
        return not rest

    def _takes(self) -> bool:
        """Says whether a piece can be written without waiting long."""
        found = self._room.poll(0 if self._stands_still else _PATIENCE_MILLISECONDS)
        self._stands_still = not any(event & select.POLLOUT for _, event in found)
        return not self._stands_still


def log_lines(stream: TextIO) -> logging.Handler:
    """Returns the handler for a stream: by its descriptor, or through the stream itself where it has none."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream in memory
        return logging.StreamHandler(stream)
    return LogLines(descriptor)
