"""Wires what keeps and watches tasks: leases, their watchers, the renewals that nobody finished."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from remit_server.adapters.database.following.follower import following
from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.lifecycle.leases import DatabaseLeases
from remit_server.adapters.database.lifecycle.renewals import DatabaseRenewals
from remit_server.adapters.database.lifecycle.task_news import DatabaseTaskNews
from remit_server.adapters.database.trail.erasing import DatabaseErasing
from remit_server.adapters.database.trail.signal_log import DatabaseSignals
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.admission import Rejections
from remit_server.application.lifecycle.ports import Follow, Signal
from remit_server.application.lifecycle.watch_task import WatchTask
from remit_server.application.lifecycle.watching import Watching
from remit_server.application.sweep import Sweep
from remit_server.config.settings import Settings
from remit_server.domain.audit import TaskEnded
from remit_server.domain.lifecycle_records import GrantsRevoked

REVOKING: Final = (GrantsRevoked.kind, TaskEnded.kind)


@dataclass(frozen=True, slots=True)
class _Waking:
    """Follows signals, and wakes what has work to do after records of some kinds, whichever process wrote them."""

    follow: Follow
    wakes: Mapping[str, Callable[[], None]]

    async def __call__(self) -> AsyncGenerator[Sequence[Signal], None]:
        """Yields the signals as they are followed."""
        async for signals in self.follow():
            for wake in {self.wakes[signal.kind] for signal in signals if signal.kind in self.wakes}:
                wake()
            yield signals


async def watch_tasks(
    stack: AsyncExitStack,
    settings: Settings,
    ledger: DatabaseLedger,
    clock: SystemClock,
    *,
    wakes: Mapping[str, Callable[[], None]],
) -> WatchTask:
    """Follows what happens to tasks, and keeps their leases, until the stack is left.

    `wakes` are what has work to do after records of a kind.
    """
    leases, news = DatabaseLeases(ledger.store), DatabaseTaskNews(ledger.store)
    follow = await stack.enter_async_context(
        following(ledger.store, settings.database_url, password_file=settings.database_password_file)
    )
    watching = Watching(_Waking(follow, wakes), news, leases, clock)
    await stack.enter_async_context(watching.running())
    return WatchTask(leases, news, watching, ledger, clock)


def sweep_of(ledger: DatabaseLedger, rejections: Rejections, clock: SystemClock, erasing: DatabaseErasing) -> Sweep:
    """Returns the housekeeping of one process."""
    store = ledger.store
    also = (DatabaseRenewals(store).sweep, DatabaseLeases(store).sweep, DatabaseSignals(store).prune, erasing.sweep)
    return Sweep(ledger, rejections, clock, unsettled_for=clock.unsettled_for, also=also)
