"""What a piece of work costs in bytecode instructions and calls: the same count on a busy machine as on a quiet one.

Only Python is counted. What runs in C (JSON, hashes, sorting, SQLite, sockets) counts as the one instruction that
calls it.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

GENERATED = "generated"
"""Where instructions are said to be that dataclasses and the like wrote themselves."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many instructions and calls were executed, and the instructions by module, most first."""

    instructions: int
    calls: int
    where: Mapping[str, int]


@contextmanager
def counting() -> Iterator[Callable[[Callable[[], object]], Counts]]:
    """Yields what counts one piece of work: in this thread, and in every thread that has begun within the block."""
    tally = _Tally()

    def counted(work: Callable[[], object]) -> Counts:
        tally.begin()
        sys.settrace(tally.enter)
        try:
            work()
        finally:
            sys.settrace(None)
            tally.running = False
        return tally.counts()

    threading.settrace(tally.enter)
    try:
        yield counted
    finally:
        threading.settrace(None)


class _Tally:
    """Counts the instructions of every frame that it is told of, while it is running."""

    def __init__(self) -> None:
        self.running = False
        self._instructions: Counter[CodeType] = Counter()
        self._calls = 0

    def begin(self) -> None:
        """Starts from nothing."""
        self._instructions.clear()
        self._calls = 0
        self.running = True

    def enter(self, frame: FrameType, event: str, arg: object) -> Callable[[FrameType, str, Any], Any]:
        """Follows a frame by its instructions; Python calls it for each call and each resumption."""
        del event, arg
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self._calls += self.running
        return self._step

    def _step(self, frame: FrameType, event: str, arg: object) -> Callable[[FrameType, str, Any], Any]:
        del arg
        if event == "opcode" and self.running:
            self._instructions[frame.f_code] += 1
        return self._step

    def counts(self) -> Counts:
        """Returns what was counted."""
        names = {getattr(module, "__file__", None): name for name, module in list(sys.modules.items())}
        where: Counter[str] = Counter()
        for code, count in self._instructions.items():
            where[names.get(code.co_filename, GENERATED)] += count
        return Counts(self._instructions.total(), self._calls, dict(where.most_common()))
