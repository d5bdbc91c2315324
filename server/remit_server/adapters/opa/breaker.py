"""A circuit breaker: after several outages in a row nobody waits for OPA until one question shows that it is back."""

from collections.abc import Callable


class Breaker:
    """Counts outages in a row; open, it admits one question after each pause. It never remembers a decision."""

    def __init__(self, *, outages: int, pause_seconds: float, monotonic: Callable[[], float]) -> None:
        self._most = outages
        self._pause = pause_seconds
        self._monotonic = monotonic
        self._in_a_row = 0
        self._open_until: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Says whether questions are turned away."""
        return self._open_until is not None

    def admits(self) -> bool:
        """Says whether a question may be asked; who is admitted must then call one of the three below."""
        if self._open_until is None:
            return True
        if self._is_probing or self._monotonic() < self._open_until:
            return False
        self._is_probing = True
        return True

    def succeeded(self) -> None:
        """Closes the breaker: OPA answered."""
        self._in_a_row = 0
        self._open_until = None
        self._is_probing = False

    def failed(self) -> bool:
        """Counts an outage, and says whether it is the one that opens the breaker."""
        was_open = self.is_open
        self._in_a_row += 1
        self._is_probing = False
        if self._in_a_row >= self._most:
            self._open_until = self._monotonic() + self._pause
        return self.is_open and not was_open

    def abandoned(self) -> None:
        """Counts nothing: who asked went away before there was an answer."""
        self._is_probing = False
