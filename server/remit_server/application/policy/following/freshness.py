"""Knows how long ago the source of policies last confirmed the active one, and lets nothing be decided past the limit.

A source that is cut off must not keep an old policy in force for ever: whoever can hold back news could otherwise hold
back a narrowing.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from remit_server.application.oversight.ports import WholePolicy
from remit_server.application.ports import Clock, Revision
from remit_server.domain.administration import AdminDecision
from remit_server.domain.decision import Decision, DecisionInput
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.policy_records import PolicyConfirmed, PolicyUnconfirmed

_log = logging.getLogger(__name__)
_RETRY: Final = timedelta(seconds=30)
_MESSAGE: Final = (
    "the policy's source has not confirmed for too long that this policy is the newest, so nothing was granted; "
    "tell whoever runs this gateway"
)


class Freshness:
    """How long ago a source last confirmed the active policy, by the clock that runs and by the one people read.

    Whichever says more counts: one stands still while a machine sleeps, the other may be set back. With `limit` None
    nothing ever is too old. `since` is when it was known to be right before this process started.
    """

    def __init__(self, clock: Clock, limit: timedelta | None, *, source: str, since: datetime | None = None) -> None:
        self._clock = clock
        self._limit = limit
        self._source = source
        self._monotonic = clock.monotonic()
        self._time = since
        self._was_over = False

    def confirm(self) -> None:
        """Notes that the source confirmed the active policy, or was just followed."""
        self._time, self._monotonic = self._clock.now(), self._clock.monotonic()

    @property
    def confirmed_time(self) -> datetime | None:
        """When that was; None when it never was."""
        return self._time

    @property
    def age(self) -> timedelta | None:
        """How long ago that was; None when it never was."""
        if self._time is None:
            return None
        return max(self._clock.now() - self._time, timedelta(seconds=self._clock.monotonic() - self._monotonic))

    @property
    def is_over(self) -> bool:
        """Says whether nothing may be decided any more until the source confirms."""
        return self._limit is not None and ((age := self.age) is None or age > self._limit)

    def turned(self, revision: str) -> PolicyUnconfirmed | PolicyConfirmed | None:
        """Returns the record of the limit being passed, or being kept again, since the last call; and logs it.

        To be called now and then, by one who keeps the record.
        """
        is_over, was_over = self.is_over, self._was_over
        self._was_over = is_over
        if is_over == was_over:
            return None
        about = {"source": self._source, "revision": revision}
        if is_over:
            _log.error("the policy was not confirmed by its source for too long: nothing is decided", extra=about)
            seconds = int(self._limit.total_seconds()) if self._limit is not None else 0
            return PolicyUnconfirmed(self._source, revision, self._time, seconds)
        _log.warning("the policy is confirmed by its source again", extra=about)
        return PolicyConfirmed(self._source, revision)


@dataclass(frozen=True, slots=True)
class WhilePolicyIsFresh:
    """The policy (the port `WholePolicy`) while its source has confirmed it lately, and an outage otherwise."""

    policy: WholePolicy
    freshness: Freshness

    @property
    def active(self) -> Revision:
        """The revision that decides now."""
        return self.policy.active

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        """Returns the decision; raises Outage(POLICY_UNAVAILABLE) past the limit, and what the policy raises."""
        self._check()
        return await self.policy.decide(revision, question)

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        """Returns the decision on the security side; it fails as `decide` does. [administrators] need none."""
        self._check()
        return await self.policy.administer(revision, question)

    async def follow(self, activation: int, /) -> None:
        """Returns once the policy decides by that activation, or a later one."""
        await self.policy.follow(activation)

    def _check(self) -> None:
        if self.freshness.is_over:
            raise Outage(Reason.POLICY_UNAVAILABLE, _MESSAGE, retry_after=_RETRY)
