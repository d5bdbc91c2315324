"""What one watcher has not read yet."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from remit_server.application.lifecycle.ports import Leased
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.task_event import TaskEvent, TaskEventKind

MOST_UNREAD = 64
BEAT_WITHOUT_A_LEASE = timedelta(seconds=10)
LONGEST_BEAT = timedelta(seconds=60)


def beat_of(grace: timedelta | None) -> timedelta:
    """Returns how often a watcher hears something: three times in its grace, and at least once a minute."""
    return BEAT_WITHOUT_A_LEASE if grace is None else min(grace / 3, LONGEST_BEAT)


class Mailbox:
    """The events of one watcher: so many at the most, then it has to come back, and hears then how things stand."""

    def __init__(self, leased: Leased, now: float) -> None:
        self.task = leased.task
        self._every = beat_of(leased.grace).total_seconds()
        self._beat_at = now + self._every
        self._events: asyncio.Queue[TaskEvent | None] = asyncio.Queue(MOST_UNREAD)
        self._is_lost = False

    def put(self, event: TaskEvent) -> None:
        """Puts an event in."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._is_lost = True

    def lose(self) -> None:
        """Has the watcher come back: something happened that cannot be told."""
        self._is_lost = True
        if self._events.empty():
            self._events.put_nowait(None)

    def is_due(self, now: float) -> bool:
        """Says whether it is time for the next heartbeat."""
        return now >= self._beat_at

    def is_overdue(self, now: float) -> bool:
        """Says whether one heartbeat was missed: its lease could not be extended here."""
        return now >= self._beat_at + self._every

    def beat(self, now: float, time: datetime, lease_until: datetime | None) -> None:
        """Puts a heartbeat in, or the end of a task whose time is over."""
        self._beat_at = now + self._every
        if time >= self.task.end_time:
            self.put(TaskEvent(TaskEventKind.ENDED, time))
        elif self._events.empty():
            self.put(TaskEvent(TaskEventKind.HEARTBEAT, time, lease_expire_time=lease_until))

    async def events(self) -> AsyncIterator[TaskEvent]:
        """Yields the events as they come; raises Outage when one was lost."""
        while not self._is_lost:
            event = await self._events.get()
            if event is not None:
                yield event
        raise Outage(Reason.STREAM_ENDED, "events came faster than they were read, or could not be: call again")
