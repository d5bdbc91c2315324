"""Tells an agent what happens to its task, and keeps the task's lease for as long as it listens."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta

from remit_server.application.lifecycle.ports import Leased, Leases, TaskNews
from remit_server.application.lifecycle.watching import Watching
from remit_server.application.ports import Clock, Ledger
from remit_server.domain.audit import RequestRefused, Who
from remit_server.domain.errors import told_of
from remit_server.domain.identity import Admitted
from remit_server.domain.task import TaskId
from remit_server.domain.task_event import TaskEvent, TaskEventKind

METHOD = "WatchTask"
SHORTEST_GRACE = timedelta(seconds=30)
LONGEST_GRACE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class WatchTask:
    """Lets a task's own actor watch it. Needs no subject token: what is told is what the agent itself was given."""

    leases: Leases
    news: TaskNews
    watching: Watching
    ledger: Ledger
    clock: Clock

    async def __call__(self, by: Admitted, task_id: TaskId, grace: timedelta | None) -> AsyncGenerator[TaskEvent, None]:
        """Yields a heartbeat, what was missed, then what happens; ends after the end of the task.

        Raises Denied(NOT_FOUND) for a task that is not this actor's, and Outage when the watcher has to come back.
        """
        leased = await self._leased(by, task_id, grace)
        with self.watching.watch(leased) as box:
            yield TaskEvent(TaskEventKind.HEARTBEAT, self.clock.now(), lease_expire_time=leased.lease_until)
            for missed in await self.news.standing(task_id):
                yield missed
                if missed.kind is TaskEventKind.ENDED:
                    return
            if (now := self.clock.now()) >= leased.task.end_time:
                yield TaskEvent(TaskEventKind.ENDED, now)
                return
            async for event in box.events():
                yield event
                if event.kind is TaskEventKind.ENDED:
                    return

    async def _leased(self, by: Admitted, task_id: TaskId, grace: timedelta | None) -> Leased:
        """Takes or extends the lease; puts a no on record."""
        try:
            return await self.leases.take(by, task_id, grace)
        except Exception as error:
            who, told = Who(actor_id=by.actor.actor_id, peer=by.peer), told_of(error)
            record = RequestRefused(who, "", METHOD, told.reason.value, told.message, task_id)
            await self.ledger.refuse(None, None, record)
            raise
