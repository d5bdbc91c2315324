"""Delivers messages to their receivers: at least once each, for a day at most, one process of all at a time."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remit_server.application.notifications.ports import Outbox, Send, Undelivered
from remit_server.application.ports import Clock
from remit_server.application.security_events.ports import HoldName
from remit_server.domain.lifecycle_records import NotificationGivenUp
from remit_server.domain.notification import Notification, NotificationKind

NAME: Final = "notifications"
EVERY: Final = timedelta(seconds=2)
HELD_SECONDS: Final = 60.0
AT_ONCE: Final = 20  # messages of a turn, per receiver
TURN: Final = timedelta(seconds=40)  # what begins later than that waits for the next turn: the name may be another's
GIVEN_UP_AFTER: Final = timedelta(days=1)
KEPT: Final = timedelta(days=7)
_SHORTEST, _LONGEST = timedelta(seconds=5), timedelta(hours=1)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told: of which kinds, and by what."""

    kinds: frozenset[NotificationKind]
    send: Send


@dataclass(frozen=True, slots=True)
class Deliver:
    """Tells the receivers, by their names, what they want to hear of; `holder` is this process's own name.

    `jitter` gives a number from 0 to 1, so that receivers that were away are not all called at once.
    """

    outbox: Outbox
    receivers: Mapping[str, Receiver]
    hold: HoldName
    holder: str
    clock: Clock
    jitter: Callable[[], float]
    every: timedelta = EVERY

    async def __call__(self) -> None:
        """Runs until it is cancelled; an outage is logged and tried again at the next turn."""
        while True:
            try:
                if await self.outbox.has_work(self.clock.now()) and await self.hold(NAME, self.holder, HELD_SECONDS):
                    await self.turn()
            except Exception:  # noqa: BLE001 - whatever it is: nobody else tells anybody
                _log.exception("notifications could not be delivered; trying again")
            await asyncio.sleep(self.every.total_seconds())

    async def turn(self) -> None:
        """Delivers what is due, to all receivers side by side."""
        await self.outbox.address({name: receiver.kinds for name, receiver in self.receivers.items()})
        until = self.clock.monotonic() + TURN.total_seconds()
        telling = [self._tell(name, receiver, until) for name, receiver in self.receivers.items()]
        failures = await asyncio.gather(*telling, return_exceptions=True)  # all of them end before the next turn
        for failure in filter(None, failures):
            raise failure
        await self.outbox.forget(frozenset(self.receivers), self.clock.now() - KEPT)

    async def _tell(self, name: str, receiver: Receiver, until: float) -> None:
        """Sends one receiver what is due, in order; where it is down, the rest waits too."""
        for notification in await self.outbox.due(name, self.clock.now(), AT_ONCE):
            if self.clock.monotonic() >= until:
                return
            try:
                await receiver.send(notification)
            except Undelivered as failure:
                await self._not_taken(notification, failure)
                if failure.is_down:
                    return
            else:
                await self.outbox.delivered(notification)

    async def _not_taken(self, notification: Notification, failure: Undelivered) -> None:
        """Puts a message off, longer each time, until a day has passed."""
        now = self.clock.now()
        if now - notification.create_time >= GIVEN_UP_AFTER:
            record = NotificationGivenUp(
                receiver=notification.receiver,
                notified=notification.kind.value,
                sequence_told_of=notification.sequence,
                attempts=notification.attempts + 1,
                why=failure.why,
            )
            await self.outbox.give_up(notification, record)
            return
        pause = min(_SHORTEST * 2 ** min(notification.attempts, 12), _LONGEST) * (0.5 + self.jitter() / 2)
        _log.warning("%s was not told of %s: %s", notification.receiver, notification.kind.value, failure.why)
        await self.outbox.put_off(notification, now + pause)
