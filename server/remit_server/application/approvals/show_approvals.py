"""Shows approvals: to those who are asked, to the subject, and to whomever `data.remit.admin` lets see all."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Final

from remit_server.application.approvals.eligibility import may_see
from remit_server.application.approvals.on_record import SERVICE, on_record
from remit_server.application.approvals.ports import Approvals, MaySeeAll, Place
from remit_server.application.ports import Clock
from remit_server.domain.approval import Approval, ApprovalState
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.operator import Operator

READ_AT_ONCE: Final = 100
MOST_READ: Final = 2000  # of a page: the rest is on the next one, however few the caller may see
LOOK_EVERY: Final = timedelta(seconds=1)
ASK_POLICY_EVERY: Final = 30  # looks
MOST_WATCHED: Final = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Approvals, newest first, and where the next page goes on."""

    approvals: tuple[Approval, ...]
    after: Place | None


@dataclass(frozen=True, slots=True)
class ShowApprovals:
    """Reads approvals for people. What a caller may not see is not there."""

    approvals: Approvals
    may_see_all: MaySeeAll
    clock: Clock
    look_every: timedelta = LOOK_EVERY

    async def one(self, operator: Operator, approval_id: str) -> Approval:
        """Returns an approval; raises Denied(NOT_FOUND) when it is not there or not the caller's to see."""
        async with on_record(self.approvals, operator, "GetApproval", approval_id):
            return await self.seen(operator, approval_id, method="GetApproval")

    async def seen(self, operator: Operator, approval_id: str, *, method: str) -> Approval:
        """Returns what `one` returns, for a call that puts itself on record."""
        approval = await self.approvals.approval(approval_id)
        if approval is None or not (may_see(operator, approval) or await self._sees_all(operator, method)):
            raise Denied(Reason.NOT_FOUND, "there is no such approval among those that you may see")
        return approval.at(self.clock.now())

    async def listed(self, operator: Operator, *, waiting: bool, after: Place | None, at_most: int) -> Page:
        """Returns a page of what the caller may see, at most so many."""
        async with on_record(self.approvals, operator, "ListApprovals", "waiting" if waiting else "all"):
            sees_all = await self._sees_all(operator, "ListApprovals")
            return await self._page(operator, sees_all=sees_all, waiting=waiting, after=after, at_most=at_most)

    async def _page(
        self, operator: Operator, *, sees_all: bool, waiting: bool, after: Place | None, at_most: int
    ) -> Page:
        found: list[Approval] = []
        for _ in range(MOST_READ // READ_AT_ONCE):
            read = await self.approvals.listed(waiting=waiting, after=after, at_most=READ_AT_ONCE)
            for approval in read:
                after = Place(approval.create_time, approval.approval_id)
                shown = approval.at(self.clock.now())
                if (sees_all or may_see(operator, shown)) and not (waiting and _is_over(shown)):
                    found.append(shown)
                if len(found) == at_most:
                    return Page(tuple(found), after)
            if len(read) < READ_AT_ONCE:
                return Page(tuple(found), None)
        return Page(tuple(found), after)

    async def watched(self, operator: Operator) -> AsyncGenerator[Approval]:
        """Yields what waits for a decision, then every approval that is asked for or decided, for as long as wanted."""
        async with on_record(self.approvals, operator, "WatchApprovals", "waiting"):
            sees_all = await self._sees_all(operator, "WatchApprovals")
        known: dict[str, tuple[ApprovalState, int]] = {}
        for turn in count():
            if turn % ASK_POLICY_EVERY == 0:
                sees_all = await self._sees_all(operator, "WatchApprovals")
            for approval in await self._latest(operator, known, sees_all=sees_all):
                standing = (approval.state, len(approval.votes))
                if known.get(approval.approval_id) != standing:
                    known[approval.approval_id] = standing
                    yield approval
            known = {key: value for key, value in known.items() if value[0] is ApprovalState.PENDING}
            await asyncio.sleep(self.look_every.total_seconds())

    async def _latest(
        self, operator: Operator, known: dict[str, tuple[ApprovalState, int]], *, sees_all: bool
    ) -> list[Approval]:
        """Returns what waits now, oldest first, and what was waiting a moment ago as it stands."""
        page = await self._page(operator, sees_all=sees_all, waiting=True, after=None, at_most=MOST_WATCHED)
        waiting = {approval.approval_id for approval in page.approvals}
        gone = [await self.approvals.approval(one) for one in known if one not in waiting]
        decided = [one.at(self.clock.now()) for one in gone if one is not None]
        return [*decided, *reversed(page.approvals)]

    async def _sees_all(self, operator: Operator, method: str) -> bool:
        return await self.may_see_all(operator, f"{SERVICE}.{method}")


def _is_over(approval: Approval) -> bool:
    return approval.state is not ApprovalState.PENDING
