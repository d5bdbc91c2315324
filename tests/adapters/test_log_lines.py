"""Log lines: whole ones, to whoever takes them, and no waiting for those who do not."""

import io
import logging
import os
from collections.abc import Iterator

import pytest

from remit_server.adapters.log_lines import LogLines, log_lines

PIECE = 4096


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
