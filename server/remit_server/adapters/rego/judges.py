"""Revisions that decide beside the active one: each on an embedded engine of its own, a few at a time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from remit_server.adapters.policy.activation.active import Engine
from remit_server.adapters.policy.activation.published import not_for_here, published_bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.application.policy.ports import Judge, Revisions
from remit_server.application.ports import Revision
from remit_server.domain.decision import Decision, DecisionInput
from remit_server.domain.errors import Outage, Reason

MOST_OPEN: Final = 2
_RETRY_AFTER: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class EngineJudge:
    """One revision on one engine (implements `Judge`)."""

    engine: Engine
    revision: Revision

    async def decide(self, question: DecisionInput, /) -> Decision:
        """Returns its complete decision; raises Outage."""
        return await self.engine.decide(self.revision, question)


@dataclass(slots=True)
class RegoJudges:
    """Opens judges (implements `OpenJudge`).

    `warm` returns the engine of a revision that this process has loaded anyway, or None.
    """

    revisions: Revisions
    limits: EngineLimits = field(default_factory=EngineLimits)
    most_open: int = MOST_OPEN
    warm: Callable[[str], Engine | None] = lambda _: None
    _open: int = field(default=0, init=False)

    @asynccontextmanager
    async def __call__(self, revision: str, /, *, workers: int = 1) -> AsyncIterator[Judge]:
        """Gives the judge of a published revision while the block runs."""
        if self._open >= self.most_open:
            message = f"{self._open} revisions are being tried on this process already: repeat this in a while"
            raise Outage(Reason.OVERLOADED, message, retry_after=_RETRY_AFTER)
        self._open += 1
        try:
            if workers == 1 and (engine := self.warm(revision)) is not None:
                yield EngineJudge(engine, engine.active)
                return
            own = await self._loaded(revision, workers)
            try:
                yield EngineJudge(own, own.active)
            finally:
                await own.close()
        finally:
            self._open -= 1

    async def _loaded(self, revision: str, workers: int) -> EmbeddedRego:
        """Returns an engine for this revision alone; raises Denied(NOT_FOUND | REVISION_REFUSED)."""
        bundle = await published_bundle(self.revisions, revision)
        try:
            return await EmbeddedRego.start(bundle, replace(self.limits, workers=workers, spares=0))
        except BundleRefused as refused:
            raise not_for_here(refused) from refused
