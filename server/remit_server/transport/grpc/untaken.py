"""Ends calls whose callers do not take their answers.

HTTP/2 lets a caller open no window for the answer (CVE-2019-9517). The library then keeps the call, and its place
among those that may run, for as long as the connection lives, and offers nothing to end it. Two of its tasks hold a
place: the one that answers, and the one that waits for the caller's side to close, `rpc_task`; both are cancelled here.
What is left, an open stream, ends with its connection.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from datetime import timedelta
from typing import Any, Final, NoReturn

_WAITS_FOR_THE_CALLER: Final = "rpc_task"
_CALL: ContextVar["asyncio.Task[Any]"] = ContextVar("call")
Factory = Callable[..., Any]


def note_calls(loop: asyncio.AbstractEventLoop) -> None:
    """Makes every task that answers a call know the one that waits for the caller; the loop may have a factory."""
    before: Factory | None = loop.get_task_factory()

    def noting(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        parent = asyncio.current_task(loop)
        if parent is not None and parent.get_name() == _WAITS_FOR_THE_CALLER and options.get("context") is None:
            options["context"] = copy_context()
            options["context"].run(_CALL.set, parent)
        return before(loop, coroutine, **options) if before else asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(noting)


def at_its_end(forget: Callable[[], None]) -> None:
    """Has `forget` called once the library is rid of the call that is running."""
    call = _CALL.get(None) or asyncio.current_task()
    assert call is not None  # noqa: S101 - a call is answered in a task
    call.add_done_callback(lambda _: forget())


def end_call() -> NoReturn:
    """Ends the call that is running, without a word to a caller who does not read: raises CancelledError.

    NOTE: a status cannot follow a message that has not left: the library would fail on it, aloud.
    """
    if (call := _CALL.get(None)) is not None:
        call.cancel()
    raise asyncio.CancelledError


class Untaken:
    """The answers that wait to be taken, counted by caller; a call whose answer waits longer than `within` is ended."""

    def __init__(self, within: timedelta) -> None:
        self._within = within.total_seconds()
        self._waiting: dict[str, int] = {}

    def of(self, caller: str) -> int:
        """Returns how many answers wait for this caller."""
        return self._waiting.get(caller, 0)

    def note(self, *callers: str) -> None:
        """Counts the answer of the call that is running, under each of the names, until the library is rid of it."""
        call, answering = _CALL.get(None), asyncio.current_task()
        if call is None or answering is None:
            return

        def give_up() -> None:
            answering.cancel()
            call.cancel()

        timer = asyncio.get_running_loop().call_later(self._within, give_up)
        for caller in callers:
            self._waiting[caller] = self._waiting.get(caller, 0) + 1

        def taken(_: object) -> None:
            timer.cancel()
            for caller in callers:
                left = self._waiting[caller] - 1
                if left:
                    self._waiting[caller] = left
                else:
                    del self._waiting[caller]

        call.add_done_callback(taken)
