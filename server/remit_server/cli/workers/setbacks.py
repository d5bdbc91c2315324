"""What to do about a worker that ended by itself: pure decisions, without a clock or a process."""

from dataclasses import dataclass
from typing import Final

STEADY_SECONDS: Final = 60.0  # a worker that served this long was a good one
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
MOST_IN_A_ROW: Final = 5


@dataclass(frozen=True, slots=True)
class Setbacks:
    """How many workers of one place ended early, one after the other.

    Counted per place, so that losing all workers at once (memory ran out) is one setback for each, while one place that
    loses every worker it is given is soon known to be hopeless, however many others serve well.
    """

    in_a_row: int = 0

    def after_a_loss(self, served_seconds: float) -> "Setbacks":
        """Returns the count with one more loss; a worker that served for a minute starts it anew."""
        return Setbacks(1 if served_seconds >= STEADY_SECONDS else self.in_a_row + 1)

    @property
    def pause(self) -> float:
        """Seconds to wait before the next worker is started: twice as long after each loss, at most five."""
        if not self.in_a_row:
            return 0.0
        return min(FIRST_PAUSE * 2.0 ** min(self.in_a_row - 1, 32), LONGEST_PAUSE)

    @property
    def hopeless(self) -> bool:
        """Says whether another worker would only end as those before it did."""
        return self.in_a_row >= MOST_IN_A_ROW
