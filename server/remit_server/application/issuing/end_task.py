"""Ends a task: no new credentials from then on; what is out runs into its time guard."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from remit_server.application.ports import Clock, EndedTask, Ledger
from remit_server.domain.audit import RequestRefused, Who
from remit_server.domain.errors import told_of
from remit_server.domain.identity import Admitted
from remit_server.domain.task import TaskId

METHOD = "EndTask"


@dataclass(frozen=True, slots=True)
class EndTask:
    """Lets a task's own actor end it. Needs no subject token: giving up rights needs nobody's consent.

    `unsettled_for` says how long the clock cannot be relied on after a step: meanwhile no grant is taken for over, and
    the answer says until when credentials work at the latest.
    """

    ledger: Ledger
    clock: Clock
    unsettled_for: Callable[[], timedelta | None]

    async def __call__(self, by: Admitted, task_id: TaskId) -> EndedTask:
        """Returns when it ended, the same at every repeat.

        Raises Denied(NOT_FOUND) for a task that is not this actor's.
        """
        try:
            settled = self.unsettled_for() is None
            return await self.ledger.end_task(task_id, by.actor, self.clock.now(), clock_is_settled=settled)
        except Exception as error:
            who, told = Who(actor_id=by.actor.actor_id, peer=by.peer), told_of(error)
            record = RequestRefused(who, "", METHOD, told.reason.value, told.message, task_id)
            await self.ledger.refuse(None, None, record)
            raise
