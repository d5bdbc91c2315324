"""All tasks that this process holds, and the gateways they are held at."""

import secrets
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

from remit.errors import NotFound, RemitError
from remit.gateway import Gateway
from remit.local.broker.held import Held, Keeping
from remit.local.connecting import begin, gateway_of
from remit.local.errors import TooManyTasks
from remit.local.wishes import Caller, Wish

MOST_TASKS = 64
MOST_REMEMBERED = 32
TICK = 2.0  # seconds
ENDING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A failure, to be explained later."""

    time: datetime
    handle: str
    wish: Wish
    error: RemitError


@dataclass(frozen=True, slots=True)
class _Record:
    """What is held, under what it may be shared by, and at which caller's connection."""

    key: object
    caller: tuple[object, ...]
    held: Held


class Broker:
    """Holds tasks in memory until they are ended; close it, or use it as a context manager, to end all of them.

    It keeps its leases by threads of its own. At most `most_tasks` are held, at most the last 32 failures remembered.
    """

    def __init__(self, keeping: Keeping | None = None, *, most_tasks: int = MOST_TASKS) -> None:
        self._keeping = keeping or Keeping()
        self._most_tasks = most_tasks
        self._lock = threading.Lock()
        self._held: dict[str, _Record] = {}
        self._ending: dict[str, _Record] = {}
        self._gateways: dict[tuple[object, ...], Gateway] = {}
        self._failures: deque[Remembered] = deque(maxlen=MOST_REMEMBERED)
        self._closed = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="remit-broker", daemon=True)
        self._ticker.start()

    def hold(self, wish: Wish, caller: Caller, *, alone: bool = False) -> Held:
        """Returns what serves this wish, shared with equal ones unless it is to be alone; asks no gateway yet.

        Raises InvalidSettings for settings that no gateway can be reached with, TooManyTasks.
        """
        key: object = object() if alone else (caller.key(), replace(wish, request_id=None))
        with self._lock:
            if self._closed.is_set():
                raise RuntimeError("this broker is closed")
            found = next((record.held for record in self._held.values() if record.key == key), None)
            return found or self._added(key, wish, caller)

    def held(self, handle: str) -> Held:
        """Returns what has this handle or this task id; raises NotFound."""
        for held in self.all():
            if handle == held.handle or (held.task is not None and handle == held.task.id):
                return held
        raise NotFound("no task with this handle or id is held here: it was ended, or never was", reason="NOT_FOUND")

    def all(self) -> tuple[Held, ...]:
        """Returns everything that is held."""
        with self._lock:
            return tuple(record.held for record in self._held.values())

    def gateway(self, caller: Caller) -> Gateway:
        """Returns the connection on which this caller's tasks are held; raises InvalidSettings."""
        with self._lock:
            return self._gateway(caller)

    def failures(self) -> tuple[Remembered, ...]:
        """Returns the last failures, the newest first."""
        with self._lock:
            return tuple(reversed(self._failures))

    def end(self, held: Held) -> str | None:
        """Ends a task and forgets its wish; returns the task's id, None where none had begun. Raises RemitError."""
        with self._lock:
            if held.handle in self._held:
                self._ending[held.handle] = self._held.pop(held.handle)
        try:
            return held.end()
        finally:
            with self._lock:
                self._ending.pop(held.handle, None)
                self._close_unused()

    def close(self) -> None:
        """Ends every task, for 10 s at most, and closes the connections; what cannot be ended goes by its lease."""
        with self._lock:
            self._closed.set()
            ending = [record.held for record in (*self._held.values(), *self._ending.values())]
            self._held.clear()
        pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="remit-ending")
        with suppress(TimeoutError):
            for _ in pool.map(_end, ending, timeout=ENDING_SECONDS):
                pass
        pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:  # an ending that outlasts this closes what it used, too
            gateways, self._gateways = list(self._gateways.values()), {}
        for gateway in gateways:
            gateway.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _added(self, key: object, wish: Wish, caller: Caller) -> Held:
        """Makes room and holds another; with the lock."""
        for handle, record in list(self._held.items()):
            if len(self._held) >= self._most_tasks and record.held.has_nothing():
                self._held.pop(handle).held.drop()
        self._close_unused()
        if len(self._held) >= self._most_tasks:
            raise TooManyTasks(
                f"{self._most_tasks} tasks are held here already",
                advice="end some: `remit endpoint status`, `remit end`",
            )
        gateway = self._gateway(caller)
        handle = secrets.token_hex(8)
        begun = partial(begin, gateway, wish, caller)
        held = Held(handle, wish, begun, self._keeping, partial(self._remember, handle, wish))
        self._held[handle] = _Record(key, caller.key(), held)
        return held

    def _gateway(self, caller: Caller) -> Gateway:
        """Returns the connection for these settings; with the lock."""
        key = caller.key()
        if key not in self._gateways:
            self._gateways[key] = gateway_of(caller)
        return self._gateways[key]

    def _close_unused(self) -> None:
        """Closes the connections that no task is held at any more; with the lock."""
        used = {record.caller for record in (*self._held.values(), *self._ending.values())}
        for key in self._gateways.keys() - used:
            self._gateways.pop(key).close()

    def _remember(self, handle: str, wish: Wish, error: RemitError) -> None:
        with self._lock:
            if not self._failures or self._failures[-1].error is not error:
                self._failures.append(Remembered(datetime.now(UTC), handle, wish, error))

    def _tick(self) -> None:
        """Renews what is in use and ends what is idle, until the broker is closed."""
        while not self._closed.wait(TICK):
            now = datetime.now(UTC)
            for held in self.all():
                if held.is_idle(now):
                    with suppress(Exception):  # its lease ends it; the others are to be looked after
                        self.end(held)
                else:
                    held.keep_warm(now)


def _end(held: Held) -> None:
    """Ends one task as well as it can be ended."""
    with suppress(Exception):  # its lease ends it, or another thread has, and closed the connection that it was held at
        held.end()
