"""Has a candidate decide beside the active revision, ends that, and shows what was counted."""

from dataclasses import dataclass
from typing import Final

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.policy.ports import Prepare, Revisions, Shadows
from remit_server.application.policy.revisions.naming_revisions import allowed
from remit_server.domain.operator import Operator
from remit_server.domain.policy_revision import Shadow

START: Final = "PolicyService.StartShadow"
STOP: Final = "PolicyService.StopShadow"
GET: Final = "PolicyService.GetShadow"


@dataclass(frozen=True, slots=True)
class ShadowRevision:
    """Candidates in shadow, at an operator's word."""

    authorize: Authorize
    revisions: Revisions
    shadows: Shadows
    prepare: Prepare

    async def start(self, operator: Operator, digits: str) -> str:
        """Puts a revision into shadow on every replica and returns its digest.

        Raises Denied(NOT_FOUND), and Denied(REVISION_REFUSED) for what this gateway cannot load.
        """
        revision = (await allowed(self.authorize, self.revisions, operator, START, digits)).revision
        await self.prepare(revision)
        await self.shadows.start(revision, by=operator.name)
        return revision

    async def stop(self, operator: Operator) -> str:
        """Ends the shadow and returns which revision was in it; empty when none was."""
        await self.authorize(operator, STOP)
        return await self.shadows.stop(by=operator.name)

    async def shown(self, operator: Operator, digits: str) -> Shadow | None:
        """Returns what was counted of a revision, or of the one in shadow: to a caller who sees everything."""
        if digits:
            meant = await allowed(self.authorize, self.revisions, operator, GET, digits, whole=True)
            return await self.shadows.shown(meant.revision)
        await self.authorize(operator, GET, whole=True)
        return await self.shadows.shown(None)
