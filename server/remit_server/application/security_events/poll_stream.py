"""Fetches a stream's events for as long as the gateway runs; of all processes one does it at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from remit_server.application.ports import Clock
from remit_server.application.security_events.ports import HoldName, NoAnswerYet, PollEvents, TransmitterUnavailable
from remit_server.application.security_events.receive import Receive
from remit_server.domain.errors import RemitError
from remit_server.domain.security_event import EventRefused

Sleep = Callable[[float], Awaitable[None]]

NOT_OURS_SECONDS: Final = 5.0  # between two looks whether the stream's poller is gone
SHORTEST_TURN_SECONDS: Final = 2.0  # of an empty poll: some transmitters answer at once instead of waiting
UNANSWERED_TOLD: Final = 20  # polls in a row: a transmitter may wait longer than we do when it has nothing to tell
LONGEST_PAUSE_SECONDS: Final = 60.0
_MARGIN_SECONDS: Final = 20.0  # the name is held for one poll and what its events take

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PollStream:
    """Polls one stream until it is cancelled.

    An event is acknowledged with the next poll after it is durable; one that could not be made durable is not, and
    comes again. What fails is tried again, after pauses that grow to a minute. `wait_seconds` is how long one poll may
    take.
    """

    poll: PollEvents
    receive: Receive[str]
    hold: HoldName
    holder: str
    clock: Clock
    wait_seconds: float
    sleep: Sleep = asyncio.sleep
    _unanswered: int = 0
    _acknowledged: list[str] = field(default_factory=list)
    _refused: dict[str, EventRefused] = field(default_factory=dict)

    async def __call__(self) -> None:
        """Runs until it is cancelled."""
        failures = 0
        while True:
            try:
                pause = await self._turn()
                failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it is: nobody else fetches this stream's events
                failures += 1
                pause = min(2.0 ** (failures - 1), LONGEST_PAUSE_SECONDS)
                self._tell(error, pause)
            await self.sleep(pause)

    async def _turn(self) -> float:
        """Polls once if this process is the one to do it; returns how long to pause before the next turn."""
        name = f"events:{self.receive.source}"
        if not await self.hold(name, self.holder, self.wait_seconds + _MARGIN_SECONDS):
            self._acknowledged, self._refused = [], {}  # whoever polls now is told these events again
            return NOT_OURS_SECONDS
        began = self.clock.monotonic()
        try:
            polled = await self.poll(self._acknowledged, self._refused)
        except NoAnswerYet as late:
            self._unanswered += 1
            if self._unanswered % UNANSWERED_TOLD == 0:
                _log.error("%s: %d polls in a row had no answer (%s)", self.receive.source, self._unanswered, late)
            return 0.0
        self._unanswered, self._acknowledged, self._refused = 0, [], {}
        await self._take_all(polled.unverified_sets)
        if polled.unverified_sets or polled.more_available:
            return 0.0
        return max(0.0, SHORTEST_TURN_SECONDS - (self.clock.monotonic() - began))

    async def _take_all(self, unverified_sets: Mapping[str, str]) -> None:
        """Takes every event; one that cannot be taken now keeps none of the others waiting, and fails the turn."""
        failures: list[Exception] = []
        for name, unverified_set in unverified_sets.items():
            try:
                await self._take(name, unverified_set)
            except Exception as error:  # noqa: BLE001 - whatever it is: it is raised when the others are taken
                failures.append(error)
        if failures:
            raise failures[0]

    async def _take(self, name: str, unverified_set: str) -> None:
        """Takes one event, and notes what its transmitter is told of it; raises Outage when it must come again."""
        try:
            await self.receive(unverified_set, "poll")
        except EventRefused as refused:
            self._refused[name] = refused
        else:
            self._acknowledged.append(name)

    def _tell(self, error: Exception, pause: float) -> None:
        """Logs why nothing could be fetched: until it works again, nobody's disabling is told."""
        source = self.receive.source
        if isinstance(error, TransmitterUnavailable | RemitError):
            _log.error("%s: events could not be fetched (%s); trying again in %g s", source, error, pause)
        else:
            _log.error("%s: events could not be fetched; trying again in %g s", source, pause, exc_info=error)
