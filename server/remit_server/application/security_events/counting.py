"""Counts what senders of events do too often or wrong, so that no stranger can fill the audit trail or the log."""

import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from remit_server.application.ports import Clock
from remit_server.application.security_events.ports import RecordAggregate
from remit_server.domain.audit_events import SecurityEventsRefused
from remit_server.domain.errors import Outage, Reason

MAX_COUNTED: Final = 1024
MAX_SENDERS: Final = 10_000
REPEATED: Final = "repeated"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class EventCounts:
    """Counts refused and repeated events per source, peer and reason; logs the first of each between two records."""

    record: RecordAggregate
    clock: Clock
    _counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _since: datetime | None = None

    def count(self, source: str, peer: str, reason: str, why: str) -> None:
        """Counts one event; past 1,024 different entries the rest share one entry per reason."""
        if self._since is None:
            self._since = self.clock.now()
        key = (source, peer, reason)
        if key not in self._counts:
            if len(self._counts) >= MAX_COUNTED:
                key = ("others", "others", reason)
            else:
                _log.warning("%s: an event from %s is not taken (%s): %s", source, peer, reason, why)
        self._counts[key] += 1

    async def write(self) -> None:
        """Writes one record per entry and starts to count again; what cannot be written is kept."""
        if self._since is None:
            return
        counts, since = self._counts, self._since
        self._counts, self._since = Counter(), None
        written: set[tuple[str, str, str]] = set()
        try:
            for key, count in sorted(counts.items()):
                source, peer, reason = key
                await self.record(SecurityEventsRefused(source, peer, reason, count, since))
                written.add(key)
        finally:
            for key in counts.keys() - written:
                self._counts[key] += counts[key]
                self._since = since


@dataclass(slots=True)
class SenderBudget:
    """A token bucket per peer: `per_minute` events a minute, all of which may come at once. Remembers 10,000 peers."""

    clock: Clock
    per_minute: int
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def spend(self, peer: str) -> None:
        """Takes one event from the peer's budget; raises Outage(RATE_LIMITED) when none is left."""
        now = self.clock.monotonic()
        left, since = self._left.pop(peer, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - since) * self.per_minute / 60)
        allowed = left >= 1
        self._left[peer] = (left - 1 if allowed else left, now)
        if len(self._left) > MAX_SENDERS:
            self._left.popitem(last=False)
        if not allowed:
            wait = timedelta(seconds=(1 - left) * 60 / self.per_minute)
            message = f"this sender has used its {self.per_minute} events a minute"
            raise Outage(Reason.RATE_LIMITED, message, retry_after=wait)
