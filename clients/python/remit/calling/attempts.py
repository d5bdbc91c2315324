"""How often a call is repeated, when, and which of its failures is told."""

import random
import time
from collections import Counter

import grpc

from remit.errors import RemitError, TaskOver, Unavailable

MOST_ATTEMPTS = 5
# A gateway that answers has tried before it says that it cannot: most of all at STS, up to four times for each call.
MOST_ATTEMPTS_WHEN_TOLD = 3
MOST_ATTEMPTS_AT_STS = 2  # unless the gateway says when to come back
NOBODY_THERE = grpc.StatusCode.UNAVAILABLE.name
FIRST_DELAY = 0.1  # seconds; doubled each time, and shortened by up to a half at random
_random = random.SystemRandom()


class Attempts:
    """Counts the attempts of one call and keeps its deadline."""

    def __init__(self, timeout: float) -> None:
        self.failure: RemitError | None = None
        self._deadline = time.monotonic() + timeout
        self._failed: Counter[str] = Counter()

    def left(self) -> float:
        """Returns the seconds left."""
        return max(self._deadline - time.monotonic(), 0.001)

    def pause(self, failure: RemitError) -> float | None:
        """Counts a failed attempt and returns the seconds until the next; None when there is to be none."""
        self._failed[failure.reason] += 1
        asked = failure.retry_after if isinstance(failure, Unavailable) else None
        if not asked:
            delay = FIRST_DELAY * 2 ** (self._failed.total() - 1) * _random.uniform(0.5, 1.0)
        else:
            delay = asked.total_seconds() * _random.uniform(1.0, 1.25)
        used_up = self._failed.total() >= MOST_ATTEMPTS or self._failed[failure.reason] >= _most_attempts(failure)
        return None if used_up or delay >= self.left() else delay


def may_help(call: grpc.Call, failure: RemitError) -> bool:
    """Says whether to ask again: nobody was there, or the gateway was full and says when to come back."""
    if call.code() is grpc.StatusCode.UNAVAILABLE:
        return True
    return failure.reason == "OVERLOADED" and isinstance(failure, Unavailable) and failure.retry_after is not None


def _most_attempts(failure: RemitError) -> int:
    """Returns how many attempts may fail in this way before it is told."""
    if failure.reason == NOBODY_THERE:
        return MOST_ATTEMPTS
    if failure.reason == "STS_UNAVAILABLE":
        is_asked_back = isinstance(failure, Unavailable) and failure.retry_after is not None
        return MOST_ATTEMPTS if is_asked_back else MOST_ATTEMPTS_AT_STS
    return MOST_ATTEMPTS_WHEN_TOLD


def says_less(call: grpc.Call, failure: RemitError) -> bool:
    """Says whether a repeat's failure only follows from the one before it, which then is the one to tell.

    The time ran out meanwhile; or an outage at STS has withheld the request's grant, so that only a request with
    another id can get one.
    """
    return call.code() is grpc.StatusCode.DEADLINE_EXCEEDED or isinstance(failure, TaskOver)
