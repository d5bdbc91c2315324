"""Says what is wrong with a bundle that an operator might publish."""

from dataclasses import dataclass
from typing import Final

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.policy.ports import ExamineBundle, Examined
from remit_server.application.policy.revisions.receiving import Receive
from remit_server.domain.operator import Operator

CHECK: Final = "PolicyService.CheckRevision"


@dataclass(frozen=True, slots=True)
class CheckRevision:
    """Does everything that publishing does but publish."""

    authorize: Authorize
    examine: ExamineBundle

    async def __call__(self, operator: Operator, receive: Receive) -> Examined:
        """Returns everything that was found; a bundle that may not decide is an answer here, and no failure."""
        await self.authorize(operator, CHECK)
        return await self.examine(await receive())
