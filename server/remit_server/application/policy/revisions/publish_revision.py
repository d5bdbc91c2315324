"""Publishes a bundle: from then on it can be replayed and activated on every replica. It decides nothing yet."""

from dataclasses import dataclass
from typing import Final

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.oversight.ports import Records
from remit_server.application.policy.ports import ExamineBundle, Examined, Revisions
from remit_server.application.policy.revisions.receiving import Receive
from remit_server.domain.errors import Reason
from remit_server.domain.operator import Operator
from remit_server.domain.policy_records import RevisionRefused
from remit_server.domain.policy_revision import BundleDenied, PolicyFinding, PublishedRevision, RevisionSource

PUBLISH: Final = "PolicyService.PublishRevision"


@dataclass(frozen=True, slots=True)
class Published:
    """A revision as it is kept, whether it is new, and what is better looked at in it."""

    revision: PublishedRevision
    created: bool
    advice: tuple[PolicyFinding, ...]


@dataclass(frozen=True, slots=True)
class PublishRevision:
    """Takes a bundle from an operator who may publish."""

    authorize: Authorize
    examine: ExamineBundle
    revisions: Revisions
    records: Records

    async def __call__(self, operator: Operator, receive: Receive) -> Published:
        """Returns once it is kept; the same bundle again is the same revision.

        Raises BundleDenied for one that may not decide, once that is on record. What is active stays.
        """
        await self.authorize(operator, PUBLISH)
        examined = await self.examine(await receive())
        if examined.new is None:
            raise await self._refused(operator, examined)
        kept, created = await self.revisions.publish(examined.new, by=operator.name, source=RevisionSource.OPERATOR)
        return Published(kept, created, examined.findings)

    async def _refused(self, operator: Operator, examined: Examined) -> BundleDenied:
        """Puts a refusal on record and returns it."""
        denied = BundleDenied(examined.refusing)
        record = RevisionRefused(
            revision=examined.revision,
            by=operator.name,
            source=RevisionSource.OPERATOR.value,
            code=Reason.REVISION_REFUSED.value,
            message=denied.message,
        )
        await self.records.record(record)
        return denied
