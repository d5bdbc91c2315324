"""Who watches which task in this process: one follower for all, a mailbox for each, leases extended together."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remit_server.application.lifecycle.mailbox import Mailbox
from remit_server.application.lifecycle.ports import Follow, Leased, Leases, Signal, TaskNews
from remit_server.application.ports import Clock
from remit_server.domain.errors import Outage
from remit_server.domain.task import TaskId

LOOK_EVERY: Final = timedelta(seconds=2)
MOST_CALLED_FOR: Final = 10_000
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Watching:
    """The watchers of this process. While `running`'s block runs it tells them what happens, and extends leases."""

    follow: Follow
    news: TaskNews
    leases: Leases
    clock: Clock
    look_every: timedelta = LOOK_EVERY
    _boxes: dict[TaskId, set[Mailbox]] = field(default_factory=dict)
    _called_for: set[TaskId] = field(default_factory=set)

    @property
    def is_watched(self) -> bool:
        """Says whether anybody watches anything here."""
        return bool(self._boxes)

    def called_for(self, task_id: TaskId) -> None:
        """Notes a call for a task: the next turn extends its lease, if it has one."""
        if len(self._called_for) < MOST_CALLED_FOR:
            self._called_for.add(task_id)

    @contextmanager
    def watch(self, leased: Leased) -> Iterator[Mailbox]:
        """Gives a watcher its mailbox for the time of the block."""
        box, boxes = Mailbox(leased, self.clock.monotonic()), self._boxes.setdefault(leased.task.task_id, set())
        boxes.add(box)
        try:
            yield box
        finally:
            boxes.discard(box)
            if not boxes:
                self._boxes.pop(leased.task.task_id, None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tells watchers what happens, and extends leases, while the block runs."""
        work = [asyncio.create_task(_for_ever(each)) for each in (self._tell_all, self._keep)]
        try:
            yield
        finally:
            for task in work:
                task.cancel()
            for task in work:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def turn(self) -> None:
        """Extends what is watched and due, or was called for, in one transaction, and lets the watchers know.

        Raises Outage when that cannot be written; whoever should have heard by then is told to come back.
        """
        now, called_for = self.clock.monotonic(), set(self._called_for)
        due = [box for box in self._every_box() if box.is_due(now)]
        wanted = called_for | {box.task.task_id for box in due}
        if not wanted:
            return
        try:
            until = await self.leases.extend(wanted)
        except Outage:
            # Another process may reach the ledger where this one does not: its watchers had better ask there.
            for box in due:
                if box.is_overdue(now):
                    box.lose()
            raise
        self._called_for -= called_for
        for box in due:
            box.beat(now, self.clock.now(), until.get(box.task.task_id))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.look_every.total_seconds())
            await self.turn()

    async def _tell_all(self) -> None:
        try:
            async for signals in self.follow():
                if self._boxes:
                    await self._tell(signals)
        finally:
            # Whatever it was, something may have been missed by now.
            for box in self._every_box():
                box.lose()

    async def _tell(self, signals: Sequence[Signal]) -> None:
        for task_id, event in await self.news.told(signals, tuple(self._boxes)):
            for box in self._boxes.get(task_id, ()):
                box.put(event)

    def _every_box(self) -> list[Mailbox]:
        return [box for boxes in self._boxes.values() for box in boxes]


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    """Begins work again a second after it failed."""
    while True:
        try:
            await work()
        except Outage as outage:
            _log.warning("tasks cannot be watched or kept now: %s", outage.message)
        except Exception:  # noqa: BLE001 - whatever it is: nobody else tells watchers and keeps leases
            _log.exception("watching tasks failed; trying again")
        await asyncio.sleep(1)
