"""The policy as the use cases know it: whichever revision was activated last, on whichever replica that was done.

What was activated is in the database; signals, and a look every few seconds, say when to look there. While the engine
of another revision is made ready, nothing is decided by the one before: it would be refused at the commit.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Protocol

from remit_server.application.policy.ports import Revisions
from remit_server.application.ports import Revision
from remit_server.domain.administration import AdminDecision
from remit_server.domain.audit import AuditRecord
from remit_server.domain.decision import Decision, DecisionInput
from remit_server.domain.errors import Denied, Outage, PolicyChanged, Reason, RemitError
from remit_server.domain.policy_records import RevisionRefused
from remit_server.domain.policy_revision import Activation, RevisionSource

FOLLOWED_WITHIN: Final = timedelta(seconds=1)
LOOK_EVERY: Final = timedelta(seconds=5)  # should a signal have been missed
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 10.0
_RETRY_AFTER: Final = timedelta(seconds=1)
_UNFIT: Final = "UNFIT_HERE"
_log: Final = logging.getLogger(__name__)


class Engine(Protocol):
    """Decides by one revision at a time; which one is `active`."""

    @property
    def active(self) -> Revision:
        """The revision that it decides by."""
        ...

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        """Returns that revision's complete decision; raises Outage for anything else, and for another revision."""
        ...

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        """Returns that revision's complete decision on the security side; it fails as `decide` does."""
        ...


class Engines(Protocol):
    """Makes engines for published revisions."""

    async def prepare(self, revision: str, /) -> None:
        """Makes ready to turn to a revision; raises Denied(NOT_FOUND | REVISION_REFUSED), or Outage."""
        ...

    async def turn(self, revision: str, /) -> Engine:
        """Returns what decides by a revision from now on; raises as `prepare` does. A cancel leaves what was before."""
        ...

    def warm(self, revision: str, /) -> Engine | None:
        """Returns the engine of a revision where it is loaded anyway."""
        ...

    async def close(self) -> None:
        """Ends every engine."""
        ...


class ActivePolicy:
    """Decides by the last activation (implements `WholePolicy` and `Prepare`), which `following` keeps up with."""

    def __init__(
        self,
        revisions: Revisions,
        engines: Engines,
        record: Callable[[AuditRecord], Awaitable[None]],
        *,
        followed_within: timedelta = FOLLOWED_WITHIN,
        look_every: timedelta = LOOK_EVERY,
    ) -> None:
        self._revisions = revisions
        self._engines = engines
        self._record = record
        self._followed_within = followed_within.total_seconds()
        self._look_every = look_every.total_seconds()
        self._engine: Engine | None = None
        self._followed = 0  # the number of the activation that is decided by
        self._wanted = 0  # and of the last one that is known of
        self._failure: RemitError | None = None  # why it is not decided by that one
        self._changed = asyncio.Event()
        self._look = asyncio.Event()
        self._published = asyncio.Event()
        self._ready = 0  # the number of the last one that was made ready as it was published
        self._turning: asyncio.Task[None] | None = None
        self._turning_to = 0

    async def start(self) -> None:
        """Turns to what is active now, or raises what forbids it: Denied(REVISION_REFUSED), or Outage."""
        activation = await self._revisions.active()
        if activation is None:
            raise RuntimeError("no policy revision is active: the configured source has to be adopted first")
        self._wanted = activation.number
        self._turned(activation, await self._engines.turn(activation.revision))

    @property
    def active(self) -> Revision:
        """The revision that decides now."""
        return self._decides.active

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        """Returns the complete decision of that revision, while it is the active one."""
        return await self._engine_of(revision).decide(revision, question)

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        """Returns that revision's complete decision on the security side; it fails as `decide` does."""
        return await self._engine_of(revision).administer(revision, question)

    async def follow(self, activation: int, /) -> None:
        """Returns once this process decides by that activation, or a later one; waits a second at most."""
        if self._followed < activation:
            self._wanted = max(self._wanted, activation)
            self.look()
        try:
            async with asyncio.timeout(self._followed_within):
                while self._followed < max(activation, self._wanted) and self._failure is None:
                    await self._changed.wait()
        except TimeoutError:
            raise _being_loaded() from None
        if self._failure is not None:
            raise _not_here(self._failure) from self._failure

    async def prepare(self, revision: str, /) -> None:
        """Loads a published revision, so that this process decides by it as soon as it is activated."""
        await self._engines.prepare(revision)

    def look(self) -> None:
        """Has the database looked at: another revision may have been activated."""
        self._look.set()

    def published(self) -> None:
        """Has what was published last made ready, where that is done at all (`make_ready`)."""
        self._published.set()

    async def make_ready(self) -> None:
        """Loads what is published as it is published, the newest only, until it is cancelled: it may be active soon."""
        while True:
            await self._published.wait()
            self._published.clear()
            try:
                newest = await self._revisions.listed(before=None, limit=1)
                if newest and newest[0].number > self._ready:
                    self._ready = newest[0].number
                    await self._engines.prepare(newest[0].revision)
            except Exception as failed:  # noqa: BLE001 - whatever it is: whoever activates it is told
                _log.warning("a published revision is not loaded before its time", extra={"cause": str(failed)})

    async def keep_up(self) -> None:
        """Turns to whatever is activated, until it is cancelled; an outage of the database is waited for."""
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._look_every):
                        await self._look.wait()
                self._look.clear()
                try:
                    activation = await self._revisions.active()
                    if activation is not None and activation.number > self._followed:
                        await self._turn_to(activation)
                except Exception:  # noqa: BLE001 - whatever it is: nobody else follows what is activated
                    _log.exception("what policy is active cannot be looked at now; it will be again")
                    await asyncio.sleep(_FIRST_PAUSE)
                    self.look()
        finally:
            await self._stop_turning()

    @property
    def _decides(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the policy was not started")
        return self._engine

    def _engine_of(self, revision: Revision) -> Engine:
        """Returns the engine, unless this process must not decide, or not by this revision."""
        if self._failure is not None:
            raise _not_here(self._failure) from self._failure
        if self._followed < self._wanted or revision.digest != self._decides.active.digest:
            raise PolicyChanged(max(self._wanted, self._followed))
        return self._decides

    async def _turn_to(self, activation: Activation) -> None:
        """Begins to turn to an activation, instead of an earlier one that is not ready yet."""
        if activation.number == self._turning_to and self._turning is not None and not self._turning.done():
            return
        self._wanted = max(self._wanted, activation.number)
        await self._stop_turning()
        self._failure, self._turning_to = None, activation.number
        self._turning = asyncio.create_task(self._turn(activation), name="policy-turning")

    async def _stop_turning(self) -> None:
        """Gives up what is being turned to."""
        turning, self._turning = self._turning, None
        if turning is not None:
            turning.cancel()
            await asyncio.wait((turning,))

    async def _turn(self, activation: Activation) -> None:
        """Turns to an activation, as often as it takes; until then nothing is decided here."""
        pause = _FIRST_PAUSE
        while True:
            try:
                engine = await self._engines.turn(activation.revision)
            except Exception as failed:  # noqa: BLE001 - whatever it is: never the old revision, and tried again
                await self._failed(activation, failed)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._turned(activation, engine)
                return

    def _turned(self, activation: Activation, engine: Engine) -> None:
        """Decides by an engine from now on."""
        self._engine, self._followed, self._failure = engine, activation.number, None
        self._tell()
        _log.info("policy revision %s decides", activation.revision, extra={"activation": activation.number})

    async def _failed(self, activation: Activation, failed: Exception) -> None:
        """Notes why nothing is decided here; told once, and on record, for each reason."""
        told = failed if isinstance(failed, RemitError) else Outage(Reason.INTERNAL, f"{type(failed).__name__}")
        known, self._failure = self._failure, told
        self._tell()
        if known is not None and known.message == told.message:
            return
        _log.error(
            "the active policy revision cannot decide on this gateway, so nothing is granted here: %s",
            told.message,
            extra={"revision": activation.revision},
            exc_info=None if isinstance(failed, RemitError) else failed,
        )
        if isinstance(failed, Denied):
            with contextlib.suppress(Outage):
                await self._record(
                    RevisionRefused(
                        revision=activation.revision,
                        by="gateway",
                        source=RevisionSource.OPERATOR.value,
                        code=_UNFIT,
                        message=told.message,
                    )
                )

    def _tell(self) -> None:
        """Wakes whoever waits for this process to follow."""
        self._changed.set()
        self._changed = asyncio.Event()


def _being_loaded() -> Outage:
    """Returns the outage of a process that makes the active revision ready."""
    message = "another policy revision was activated, and this gateway is still loading it: ask again"
    return Outage(Reason.POLICY_UNAVAILABLE, message, retry_after=_RETRY_AFTER)


def _not_here(failure: RemitError) -> Outage:
    """Returns the outage of a process on which the active revision cannot decide."""
    del failure  # it names what the security team has to mend, which is not for agents
    message = "the active policy revision cannot decide on this gateway: tell whoever runs it, or ask another one"
    return Outage(Reason.POLICY_UNAVAILABLE, message, retry_after=timedelta(seconds=30))
