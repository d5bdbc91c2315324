"""The machine's clock, which notices when it is stepped, and the machine's source of random bytes."""

import logging
import math
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

LARGEST_STEP: Final = timedelta(seconds=30)  # what tokens' leeway forgives anyway
_LARGEST_SECONDS: Final = LARGEST_STEP.total_seconds()
SETTLING: Final = timedelta(seconds=60)

_log = logging.getLogger(__name__)


def _steady_seconds() -> float:
    """Returns seconds that no one sets; where the system tells, those in which the machine slept are among them."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):  # not on this system, or not in its sandbox
        return time.monotonic()


class SystemClock:
    """Tells the machine's time: UTC for records and bounds, monotonic seconds for deadlines.

    Each look at the time compares it with seconds that nobody can set. When the two went apart by more than
    `LARGEST_STEP` since the look before, the clock was stepped, and nobody can tell which of its times is right: it is
    unsettled until it has run evenly for `SETTLING`. Slewing, a fraction of a second between looks, is none.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _steady_seconds) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()
        self._settled_at = -math.inf

    def now(self) -> datetime:
        """Returns the present time, UTC."""
        return datetime.fromtimestamp(self._look(), UTC)

    def monotonic(self) -> float:
        """Returns seconds that never go back."""
        return time.monotonic()

    def unsettled_for(self) -> timedelta | None:
        """Returns how long the clock must still run evenly before bounds may come from it; None when they may."""
        self._look()
        left = self._settled_at - self._steady()
        return timedelta(seconds=left) if left > 0 else None

    def _look(self) -> float:
        """Returns seconds since the epoch, after noting whether they were stepped since the look before."""
        wall, steady = self._wall(), self._steady()
        offset = wall - steady
        step = offset - self._offset
        self._offset = offset
        if abs(step) > _LARGEST_SECONDS:
            self._settled_at = steady + SETTLING.total_seconds()
            _log.error(
                "the machine's clock was stepped by %+.1f seconds: nothing is issued for %d seconds; check its time "
                "service (chrony, systemd-timesyncd, the hypervisor)",
                step,
                int(SETTLING.total_seconds()),
            )
        return wall


def system_entropy(count: int, /) -> bytes:
    """Returns `count` bytes fit for secrets."""
    return secrets.token_bytes(count)
