"""Runs what was really asked on a candidate, for an operator who sees every grant."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.policy.ports import History, Revisions
from remit_server.application.policy.replaying.ports import OpenReplays
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.running import Progress, Run
from remit_server.application.policy.revisions.naming_revisions import allowed
from remit_server.application.ports import Clock
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.operator import Operator

REPLAY: Final = "PolicyService.ReplayRevision"


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which candidate, by the first digits of its digest; how far back, and at most how many decisions."""

    operator: Operator
    digits: str
    since: timedelta
    most: int


@dataclass(frozen=True, slots=True)
class ReplayRevision:
    """Replays history on a published revision; one replay at a time in a process."""

    authorize: Authorize
    revisions: Revisions
    history: History
    replays: OpenReplays
    clock: Clock
    _running: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, request: ReplayRequest) -> AsyncGenerator[Progress | Report, None]:
        """Yields progress, and at last the report: it shows what others asked, so it is for who sees every grant.

        Raises Denied(NOT_FOUND), Denied(REVISION_REFUSED) for what may not decide, and Outage, OVERLOADED among them.
        """
        found = await allowed(self.authorize, self.revisions, request.operator, REPLAY, request.digits, whole=True)
        if self._running.locked():
            message = "a replay is running in this gateway process: ask again once it is over"
            raise Outage(Reason.OVERLOADED, message, retry_after=timedelta(seconds=30))
        async with self._running:
            archive = await self.revisions.archive(found.revision)
            if archive is None:
                raise Denied(Reason.NOT_FOUND, "this revision is not kept any more")
            async with self.replays(archive) as replays:
                run = Run(self.history, replays)
                since = self.clock.now() - request.since
                async with aclosing(run(since, most=request.most)) as told:
                    async for outcome in told:
                        yield outcome
