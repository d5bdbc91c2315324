"""Threads that work for an event loop: one queue to them, one call back to the loop for each piece of work.

`run_in_executor` does the same by way of two futures, two locks and a weak reference for each piece: six hundred
steps of the interpreter, where these take a hundred.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

MOST_WAITING: Final = 4096
T = TypeVar("T")
_Job: TypeAlias = "tuple[asyncio.Future[Any], Callable[[], Any]]"


class HandsFull(OSError):  # noqa: N818 - named for what it says
    """As many pieces of work wait as may wait."""


class Hands:
    """Up to `count` threads, started when there is work; `rest` ends them after all that was asked for by then."""

    def __init__(self, count: int, name: str, *, most_waiting: int = MOST_WAITING) -> None:
        self._names = [f"{name}_{number}" for number in range(count)]
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._most_waiting = most_waiting
        self._is_over = False

    def do(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Has one of the threads do the work; what is given up before its turn is not done.

        Raises HandsFull when too much waits, and RuntimeError when the system gives no thread; both may pass. After
        `rest` it raises RuntimeError for good.
        """
        if self._is_over:
            raise RuntimeError("the threads were ended")
        if self._jobs.qsize() >= self._most_waiting:
            raise HandsFull(f"{self._most_waiting} pieces of work wait already")
        if self._names:
            self._start()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((answer, work))
        return answer

    def rest(self) -> None:
        """Returns once the threads are at their end; blocks."""
        self._is_over = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self) -> None:
        """Starts one thread more."""
        # NOTE: a daemon, so that a process which ends without closing its database does end; SQLite and PostgreSQL
        # keep nothing of a transaction that was cut off.
        thread = threading.Thread(target=self._work, name=self._names[0], daemon=True)
        thread.start()
        self._threads.append(thread)
        del self._names[0]

    def _work(self) -> None:
        """Does what is asked for, one piece after the other."""
        while (job := self._jobs.get()) is not None:
            answer, work = job
            # NOTE: only read here, and done for good once it is: one given up this instant is done for nobody.
            if not answer.done():
                _done(answer, work)
            del job, answer, work  # while it waits it keeps nothing alive


def _done(answer: "asyncio.Future[Any]", work: Callable[[], Any]) -> None:
    """Does one piece of work and tells the loop what came of it."""
    result: Any = None
    error: BaseException | None = None
    try:
        result = work()
    except StopIteration as ended:  # which no future takes
        error = RuntimeError("the work raised StopIteration")
        error.__cause__ = ended
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
