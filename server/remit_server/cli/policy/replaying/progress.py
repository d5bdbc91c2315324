"""Tells how far a replay is: a bar on a terminal, a line for each tenth elsewhere, nothing when asked to be quiet."""

import sys
import time
from dataclasses import dataclass, field
from typing import Final

from remit_server.application.policy.replaying.running import Progress

_WIDTH: Final = 30
_EVERY: Final = 0.1  # seconds between two looks of the bar
_TENTHS: Final = 10


def _watched() -> bool:
    """Says whether a person watches standard error, as it is when the command runs."""
    return sys.stderr.isatty()


@dataclass(slots=True)
class Told:
    """Writes to standard error."""

    quiet: bool = False
    _is_terminal: bool = field(default_factory=_watched)
    _started: float = field(default_factory=time.monotonic)
    _shown: float = 0.0
    _tenth: int = 0

    def __call__(self, progress: Progress) -> None:
        """Tells of progress, where it is time to."""
        now, part = time.monotonic(), progress.done / max(progress.total, 1)
        if self.quiet:
            return
        told = f"{part:.0%} of the records"
        if progress.decisions is not None:
            rate = progress.decisions / max(now - self._started, 0.001)
            told = f"{progress.decisions:,} decisions, {told}, {rate:,.0f}/s"
        if not self._is_terminal:
            if int(part * _TENTHS) > self._tenth:
                self._tenth = int(part * _TENTHS)
                sys.stderr.write(f"replayed {told}\n")
        elif now - self._shown > _EVERY or progress.done == progress.total:
            self._shown = now
            bar = "#" * int(part * _WIDTH)
            sys.stderr.write(f"\r[{bar:<{_WIDTH}}] {told}\x1b[K")
            sys.stderr.flush()

    def done(self) -> None:
        """Ends the bar's line."""
        if self._is_terminal and self._shown:
            sys.stderr.write("\n")
