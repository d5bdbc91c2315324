"""Budgets per key: so many calls a second, with a burst. Pure: the time is passed in."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(slots=True)
class _Bucket:
    """`tokens` at the monotonic time `at`; below zero while callers wait for tokens that are still to come."""

    tokens: float
    at: float


class TokenBuckets(Generic[Key]):
    """One token bucket per key, at most `max_keys` of them at a time.

    `rate` is tokens a second, `burst` what a full bucket holds, `monotonic` tells seconds that never go back. Only a
    bucket that is full again is forgotten, which loses nothing; when every place is taken by one in use, a new key is
    refused.
    """

    def __init__(self, *, rate: float, burst: int, monotonic: Callable[[], float], max_keys: int = 1024) -> None:
        if not (rate > 0 and burst >= 1 and max_keys >= 1):
            raise ValueError("a budget needs a positive rate, a burst of at least one and room for at least one key")
        self._rate = rate
        self._burst = float(burst)
        self._monotonic = monotonic
        self._max_keys = max_keys
        self._buckets: OrderedDict[Key, _Bucket] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        """Returns how many keys are remembered."""
        return len(self._buckets)

    def reserve(self, key: Key, *, max_wait: float = 0.0) -> float | None:
        """Takes one token and returns the seconds to wait until it is there (0.0: go ahead).

        Returns None, and takes nothing, when that would be longer than `max_wait`: the caller is over its budget.
        Those who wait are served in the order in which they reserved.
        """
        now = self._monotonic()
        bucket = self._bucket(key, now)
        if bucket is None:
            return None
        wait = max(0.0, (1.0 - bucket.tokens) / self._rate)
        if wait > max_wait:
            return None
        bucket.tokens -= 1.0
        return wait

    def _bucket(self, key: Key, now: float) -> _Bucket | None:
        """Returns the key's bucket as of `now`, a full one for a new key, None when there is no room for it."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.tokens = self._tokens(bucket, now)
            bucket.at = max(now, bucket.at)
            self._buckets.move_to_end(key)
            return bucket
        if len(self._buckets) >= self._max_keys and not self._forget_a_full_one(now):
            return None
        self._buckets[key] = _Bucket(self._burst, now)
        return self._buckets[key]

    def _tokens(self, bucket: _Bucket, now: float) -> float:
        """Returns what the bucket holds at `now`."""
        return min(self._burst, bucket.tokens + max(0.0, now - bucket.at) * self._rate)

    def _forget_a_full_one(self, now: float) -> bool:
        """Makes room for one key; False when the least recently used bucket is still in use."""
        oldest = next(iter(self._buckets))
        if self._tokens(self._buckets[oldest], now) < self._burst:
            return False
        del self._buckets[oldest]
        return True
