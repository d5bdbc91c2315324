"""Log lines: whole ones, to whoever takes them, and no waiting for those who do not."""

import errno
import io
import logging
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import pytest

from remit_server.adapters.log_lines import LogLines, log_lines

PIECE = 4096
NOBODY: Final = 65534  # a user who may not open what is root's
LONG: Final = 20  # seconds, after which a process is taken for one that waits for good


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("remit", logging.INFO, "here.py", 1, text, None, None)


def taken(reading: int) -> list[str]:
    """Takes all that a pipe holds."""
    os.set_blocking(reading, False)
    said = b""
    try:
        while piece := os.read(reading, 1 << 20):
            said += piece
    except BlockingIOError:
        pass
    return said.decode().split("\n")


def shared(kind: str) -> tuple[int, int]:
    """Opens both ends of what a log may go to; skips where that kind cannot be had."""
    if kind == "socket":
        ends = socket.socketpair()
        return ends[0].detach(), ends[1].detach()
    if kind == "terminal":
        return os.openpty()
    if kind == "pipe of another user":
        if os.geteuid() != 0:
            pytest.skip("only root can become another user")
        skip_without_nowait()
    return os.pipe()


def skip_without_nowait() -> None:
    """Skips where the kernel has no way to write to a pipe that cannot be opened anew without waiting."""
    reading, writing = os.pipe()
    try:
        os.pwritev(writing, (b"x",), -1, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            pytest.skip("this kernel has no RWF_NOWAIT for pipes")
        raise
    finally:
        os.close(reading)
        os.close(writing)


def fill(writing: int) -> None:
    """Leaves no room, and what is shared as it was."""
    os.set_blocking(writing, False)
    for piece in (b"-" * PIECE, b"-"):
        try:
            while True:
                os.write(writing, piece)
        except BlockingIOError:
            continue
    os.set_blocking(writing, True)


class Interrupted(LogLines):
    """Lets another process write between its look for room and its own writing."""

    def __init__(self, descriptor: int, tell: int, go: int) -> None:
        super().__init__(descriptor)
        self._tell, self._go = tell, go

    def _takes(self) -> bool:
        takes = super()._takes()
        os.write(self._tell, b".")
        os.read(self._go, 1)
        return takes


def log_once(kind: str, writing: int, tell: int, go: int) -> NoReturn:
    """Lives as a worker that logs one line and ends with the number of those that were dropped."""
    dropped = 99
    try:
        if kind == "pipe of another user":
            os.setresuid(NOBODY, NOBODY, NOBODY)
        handler = Interrupted(writing, tell, go)
        handler.emit(record("x" * 2500))
        dropped = handler.dropped
    finally:
        os._exit(dropped)


def end_of(pid: int) -> int:
    """Returns how a process ended; one that waits for good is killed."""
    watched = os.pidfd_open(pid)
    if not select.select([watched], [], [], LONG)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(watched)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal", "pipe of another user"])
def test_a_line_whose_room_another_process_took_meanwhile_is_dropped_and_not_waited_for(kind: str) -> None:
    reading, writing = shared(kind)
    (told, tell), (go, goes) = os.pipe(), os.pipe()
    worker = os.fork()
    if worker == 0:
        os.close(goes)
        log_once(kind, writing, tell, go)

    os.read(told, 1)  # the worker found room
    fill(writing)
    os.close(goes)
    dropped = end_of(worker)
    waits_as_before = os.get_blocking(writing)
    for descriptor in (reading, writing, told, tell, go):
        os.close(descriptor)

    assert dropped == 1
    assert waits_as_before


def test_lines_and_what_others_write_to_the_same_file_stand_after_each_other(tmp_path: Path) -> None:
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    handler = LogLines(descriptor)

    handler.emit(record("one"))
    os.write(descriptor, b"a traceback\n")
    handler.emit(record("two"))
    os.close(descriptor)

    assert file.read_text() == "one\na traceback\ntwo\n"


def test_lines_come_whole_and_in_order_however_long(pipe: tuple[int, int]) -> None:
    handler = LogLines(pipe[1])
    lines = ["one", "two" * PIECE, "three"]

    for line in lines:
        handler.emit(record(line))

    assert taken(pipe[0]) == [*lines, ""]


def test_what_nobody_takes_is_dropped_and_counted_and_the_log_goes_on(pipe: tuple[int, int]) -> None:
    handler = LogLines(pipe[1])
    for number in range(200):
        handler.emit(record(f"{number} " + "x" * 1000))

    before = taken(pipe[0])
    handler.emit(record("and on"))
    after = taken(pipe[0])

    kept = [line for line in before if line]
    assert [int(line.split()[0]) for line in kept] == list(range(len(kept)))
    assert 0 < len(kept) < 200
    assert after == [f"{200 - len(kept)} lines of the log were dropped: nobody took them", "and on", ""]


def test_a_line_that_was_cut_is_ended_before_the_next(pipe: tuple[int, int]) -> None:
    handler = LogLines(pipe[1])
    handler.emit(record("x" * (1 << 20)))

    before = taken(pipe[0])
    handler.emit(record("whole"))

    assert set("".join(before)) == {"x"}
    assert taken(pipe[0]) == ["", "1 lines of the log were dropped: nobody took them", "whole", ""]


def test_a_full_disk_behind_it_is_no_failure_of_what_is_logged() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        handler = LogLines(descriptor)

        handler.emit(record("nowhere"))
    finally:
        os.close(descriptor)

    assert handler.dropped == 1


def test_nobody_at_the_other_end_is_no_failure_of_what_is_logged() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        handler = LogLines(writing)

        handler.emit(record("nowhere"))
    finally:
        os.close(writing)

    assert handler.dropped == 1


def test_a_stream_in_memory_is_written_as_it_is() -> None:
    stream = io.StringIO()

    log_lines(stream).emit(record("here"))

    assert stream.getvalue() == "here\n"
