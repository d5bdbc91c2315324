"""The machine's clock and its source of random bytes."""

import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    """Tells the machine's time: UTC for records and bounds, monotonic seconds for deadlines."""

    def now(self) -> datetime:
        """Returns the present time, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Returns seconds that never go back."""
        return time.monotonic()


def system_entropy(count: int, /) -> bytes:
    """Returns `count` bytes fit for secrets."""
    return secrets.token_bytes(count)
