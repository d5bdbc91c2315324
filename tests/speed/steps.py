"""What each step of a piece of work costs in bytecode instructions, with all that it calls: a tree of calls.

`python -m tests.speed.steps requests "a preview" 100` prints the tree of a row of `tests/speed`, of the thread that
asks, without what costs fewer than 100. What is resumed after an await counts for whoever awaited it.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.speed.measuring import WARM_UP, group_of

LEAST = 100
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Step:
    """A function as it was called from one place of the tree: how often it was entered or resumed, and what it took."""

    name: str
    entered: int = 0
    own: int = 0
    calls: dict[CodeType, "Step"] = field(default_factory=dict)

    @property
    def instructions(self) -> int:
        """What it took with all that it called."""
        return self.own + sum(step.instructions for step in self.calls.values())

    def lines(self, least: int, depth: int = 0) -> Iterator[str]:
        """Yields the tree, dearest first, without what took fewer instructions."""
        yield f"{self.instructions:>8,} {self.own:>7,} {self.entered:>4}  {'  ' * depth}{self.name}"
        for step in sorted(self.calls.values(), key=lambda step: -step.instructions):
            if step.instructions >= least:
                yield from step.lines(least, depth + 1)


def steps_of(work: Callable[[], object]) -> Step:
    """Returns the steps of a piece of work, which runs in this thread."""
    root = Step("all")
    here = sys._getframe()

    def enter(frame: FrameType, event: str, arg: object) -> Callable[[FrameType, str, Any], Any]:
        del event, arg
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        step = _step_of(frame, here, root)
        step.entered += 1

        def count(frame: FrameType, event: str, arg: object) -> Callable[[FrameType, str, Any], Any]:
            del frame, arg
            step.own += event == "opcode"
            return count

        return count

    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(None)
    return root


def _step_of(frame: FrameType, above: FrameType, root: Step) -> Step:
    """Returns the step that a frame is, by those that it was called from."""
    path: list[CodeType] = []
    at: FrameType | None = frame
    while at is not None and at is not above:
        path.append(at.f_code)
        at = at.f_back
    step = root
    for code in reversed(path):
        if code not in step.calls:
            step.calls[code] = Step(_named(code))
        step = step.calls[code]
    return step


def _named(code: CodeType) -> str:
    file = Path(code.co_filename)
    place = file.relative_to(_ROOT) if file.is_relative_to(_ROOT) else Path(*file.parts[-2:])
    return f"{code.co_qualname} ({place}:{code.co_firstlineno})"


def main(group: str, row: str, least: str = str(LEAST)) -> None:
    """Prints the steps of a row of the speed gate: instructions, of those its own, times entered, function."""
    (prepared,) = [one.prepared for one in group_of(group).rows if one.name == row]
    with prepared() as work:
        for _ in range(WARM_UP):
            work()
        print("\n".join(steps_of(work).lines(int(least))))  # noqa: T201 - a program's output


if __name__ == "__main__":
    main(*sys.argv[1:])
