"""Threads that work for an event loop: one queue to them, one call back to the loop for each piece of work.

`run_in_executor` does the same by way of two futures, two locks and a weak reference for each piece: six hundred
steps of the interpreter, where these take a hundred.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
_Job: TypeAlias = "tuple[asyncio.Future[Any], Callable[[], Any]]"


class Hands:
    """Up to `count` threads, started when there is work; `rest` ends them after all that was asked for by then."""

    def __init__(self, count: int, name: str) -> None:
        self._names = [f"{name}_{number}" for number in range(count)]
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()

    def do(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Has one of the threads do the work; what is cancelled before its turn is not done."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((answer, work))
        if self._names:
            self._start()
        return answer

    def rest(self) -> None:
        """Returns once the threads are at their end; blocks."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self) -> None:
        """Starts one thread more."""
        # NOTE: a daemon, so that a process which ends without closing its database does end; SQLite and PostgreSQL
        # keep nothing of a transaction that was cut off.
        thread = threading.Thread(target=self._work, name=self._names.pop(0), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        """Does what is asked for, one piece after the other."""
        while (job := self._jobs.get()) is not None:
            answer, work = job
            if not answer.cancelled():
                _done(answer, work)
            del job, answer, work  # while it waits it keeps nothing alive


def _done(answer: "asyncio.Future[Any]", work: Callable[[], Any]) -> None:
    """Does one piece of work and tells the loop what came of it."""
    result, error = None, None
    try:
        result = work()
    except BaseException as raised:  # noqa: BLE001 - whatever it is, it is raised where the work was asked for
        error = raised
    with suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits
        answer.get_loop().call_soon_threadsafe(_tell, answer, result, error)


def _tell(answer: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    """Gives the one who asked the result, or the failure; one who is gone needs neither."""
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)
