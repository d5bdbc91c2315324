"""Suspension points: every place at which a use case waits, numbered as it comes, and an error out of one of them.

Coroutines are driven by hand, one `send` at a time, those of the tasks that they start too, so that an await that
somebody adds is a point like the others without a word here. Ports are points before and after their call as well,
since one that answers at once does not wait.
"""

import asyncio
import functools
import sys
import traceback
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.crash.steps import Steps

from remit_server.domain.errors import Outage, Reason

APPLICATION: Final = Path(sys.modules["remit_server.domain.errors"].__file__ or "").parents[1] / "application"
WAITING: Final = "waiting"  # how the place of a suspension begins: what was last met follows
_BEYOND: Final = ("the caller", "the agent", "the approver")  # what the gateway has no part in any more
_swept: ContextVar[bool] = ContextVar("swept", default=False)


class Kind(StrEnum):
    """What comes out of an await."""

    ORDINARY = "an ordinary exception"
    CANCELLED = "a cancellation"
    TIMEOUT = "a time-out"
    OWN = "the port's own error"


class When(StrEnum):
    """Whether what is awaited is done by then."""

    BEFORE = "in its place"
    AFTER = "after it"


@dataclass(frozen=True, slots=True)
class Fault:
    """One error out of one point: the n-th at its place (how often a ledger is waited for differs from run to run)."""

    place: str
    nth: int
    kind: Kind
    when: When

    def error(self, place: str) -> BaseException:
        """Makes it: a port's own error is the outage of that port, honest about what may have been made."""
        match self.kind:
            case Kind.ORDINARY:
                return RuntimeError(f"injected at {place}")
            case Kind.CANCELLED:
                return asyncio.CancelledError()
            case Kind.TIMEOUT:
                return TimeoutError(f"injected at {place}")
            case Kind.OWN:
                reason = Reason.LEDGER_UNAVAILABLE
                if "STS" in place:
                    may_exist = self.when is When.AFTER or not place.startswith("before")
                    return Outage(Reason.STS_UNAVAILABLE, "injected", credentials_may_exist=may_exist)
                if "policy" in place:
                    reason = Reason.POLICY_UNAVAILABLE
                return Outage(reason, "injected")


@dataclass(slots=True)
class Points(Steps):
    """Counts points, and has the fault come out of its own. What is told is kept as lines, for the judge."""

    fault: Fault | None = None
    lines: list[dict[str, Any]] = field(default_factory=list)
    place: str = ""
    hit: str = ""
    met: list[str] = field(default_factory=list)
    passed: set[tuple[str, int]] = field(default_factory=set)
    _thrown: list[BaseException] = field(default_factory=list)

    def tell(self, what: str, **values: Any) -> None:
        """Keeps one line."""
        self.lines.append({"what": what, "child": 0, **values})

    def __call__(self, place: str) -> None:
        """Is before or after a port's call."""
        if not self.is_swept() or place.startswith((*_BEYOND, f"before {_BEYOND[0]}")):
            return
        place = f"{place} from {_line_of_the_application()}"
        self.place = f"{WAITING} {place}"
        if self.is_now(place):
            raise self.thrown(place)

    def is_swept(self) -> bool:
        """Says whether what runs now is swept, and not something beside it."""
        return self.is_armed and _swept.get()

    def is_now(self, place: str) -> bool:
        """Counts a point; says whether the fault comes out of it."""
        self.count += 1
        self.met.append(place)
        if self.fault is None or place != self.fault.place or self.met.count(place) != self.fault.nth:
            return False
        self.hit = place
        return True

    def thrown(self, place: str) -> BaseException:
        """Returns the error, to be raised here."""
        assert self.fault is not None
        self._thrown.append(self.fault.error(place))
        return self._thrown[-1]

    def note_passed(self, error: BaseException | None) -> None:
        """Keeps the lines of the application that an error came through, and that of what it became."""
        while error is not None:
            for frame, line in traceback.walk_tb(error.__traceback__):
                if file := _in_the_application(frame.f_code.co_filename):
                    self.passed.add((file, line))
            error = error.__cause__ or error.__context__

    def note_all(self) -> None:
        """Does so for what was thrown in tasks that nobody heard of, once."""
        for error in self._thrown:
            self.note_passed(error)
        self._thrown.clear()


def _line_of_the_application() -> str:
    """Returns the innermost line of the application that runs now."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if file := _in_the_application(frame.f_code.co_filename):
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return "the door"


@functools.cache
def _in_the_application(file: str) -> str:
    """Returns a file's name within the application, and nothing where it is elsewhere."""
    path = Path(file)
    return str(path.relative_to(APPLICATION)) if path.is_relative_to(APPLICATION) else ""


def drive(points: Points, work: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """Returns the coroutine, driven point by point."""

    async def driven() -> Any:
        return await _Driven(points, work)

    return driven()


def task_factory(points: Points) -> Any:
    """Returns a factory of tasks whose coroutines are driven, where they are started by what is swept."""

    def make(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        if not (_swept.get() and _is_ours(work)):
            return asyncio.Task(work, loop=loop, **more)
        task = asyncio.Task(drive(points, work), loop=loop, **more)
        task.add_done_callback(lambda _: work.close())  # it may have been cancelled before its first step
        return task

    return make


def _is_ours(work: Any) -> bool:
    """Says whether a coroutine is the gateway's: what a library does in tasks of its own is one wait of ours for it."""
    code = getattr(work, "cr_code", None)
    return code is not None and Path(code.co_filename).is_relative_to(APPLICATION.parent)


async def swept(points: Points, work: Coroutine[Any, Any, Any]) -> Any:
    """Runs work as a task of its own whose points count; what it starts is swept as well."""
    _swept.set(True)
    return await drive(points, work)


@dataclass(slots=True)
class _Driven:
    """Awaits a coroutine, one `send` at a time."""

    points: Points
    work: Coroutine[Any, Any, Any]

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                waits_for = self.work.send(None) if error is None else self.work.throw(error)
            except StopIteration as done:
                return done.value
            except BaseException as failed:
                self.points.note_passed(failed)
                raise
            error = yield from self._one(waits_for)

    def _one(self, waits_for: Any) -> Generator[Any, Any, BaseException | None]:
        """Waits as the coroutine does; returns what is to be thrown into it."""
        points = self.points
        now = points.is_armed and points.is_now(points.place)
        if now and points.fault is not None and points.fault.when is When.BEFORE:
            if points.fault.kind is Kind.CANCELLED:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()  # NOTE: the real thing: the loop cancels what is waited for, and throws
                now = False
            else:
                if waits_for is not None:
                    waits_for._asyncio_future_blocking = False  # it goes on, and nobody hears of it
                return points.thrown(points.place)
        try:
            yield waits_for
        except BaseException as thrown:  # noqa: BLE001 - it is the coroutine's
            return thrown
        return points.thrown(points.place) if now else None
