"""Keeps delegations from being judged by a clock that was stepped (8-threats.md T3)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from remit_server.application.lifecycle.ports import AcceptsSubjects
from remit_server.application.ports import Authenticate, VerifyDelegation
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.identity import Actor, Caller, Delegation
from remit_server.domain.secret import Secret


class SteppedClock(Protocol):
    """Knows whether its time was stepped."""

    def unsettled_for(self) -> timedelta | None:
        """Returns how long it must still run evenly before bounds may come from it; None when they may."""
        ...


@dataclass(frozen=True, slots=True)
class ProvesWhileClockIsSteady:
    """Authenticates agents (the port `Authenticate`), and turns nobody away by the time of a clock that was stepped.

    A yes stands: whoever was let in can end tasks, and gets nothing for which a time is needed.
    """

    authenticate: Authenticate
    clock: SteppedClock

    async def __call__(self, caller: Caller, /) -> Actor:
        """Returns the actor.

        Raises Outage(INTERNAL) for a no while the clock is unsettled, and what `authenticate` raises.
        """
        try:
            return await self.authenticate(caller)
        except Denied:
            _check(self.clock)
            raise


@dataclass(frozen=True, slots=True)
class WhileClockIsSteady:
    """Verifies delegations (the port `VerifyDelegation`) while the clock can be relied on, and is an outage otherwise.

    Every issuing and preview passes here after it took the time that its bounds are made of, so that none comes from a
    stepped clock. Ending a task needs no time and does not.
    """

    verify: VerifyDelegation
    clock: SteppedClock

    async def __call__(self, unverified_subject_token: Secret, actor: Actor, /) -> Delegation:
        """Returns the delegation.

        Raises Outage(INTERNAL) while the clock is unsettled, and what `verify` raises.
        """
        _check(self.clock)
        try:
            return await self.verify(unverified_subject_token, actor)
        finally:
            _check(
                self.clock
            )  # NOTE: a yes or no by a clock that was stepped meanwhile is neither, and is not remembered


@dataclass(frozen=True, slots=True)
class AcceptsWhileClockIsSteady:
    """Says whose users may be acted for while they are not there, as long as the clock can be relied on."""

    accepts: AcceptsSubjects
    clock: SteppedClock

    def __call__(self, issuer: str, /) -> bool:
        """Says whether they may; raises Outage(INTERNAL) while the clock is unsettled."""
        _check(self.clock)
        return self.accepts(issuer)


def _check(clock: SteppedClock) -> None:
    """Raises Outage(INTERNAL) unless the clock is settled."""
    left = clock.unsettled_for()
    if left is not None:
        message = "internal error: the gateway's clock was stepped and has not settled; try again later"
        raise Outage(Reason.INTERNAL, message, retry_after=left)
