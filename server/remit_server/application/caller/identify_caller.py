"""Says who is calling as the gateway sees it, and for whom: what policies and records will know it by."""

from dataclasses import dataclass
from datetime import datetime

from remit_server.application.issuing.hearing import Hearing
from remit_server.application.ports import Clock, Ledger, Presented
from remit_server.domain.audit import RequestRefused, Who
from remit_server.domain.errors import told_of
from remit_server.domain.identity import Admitted, Delegation
from remit_server.domain.secret import Secret

METHOD = "GetCallerIdentity"


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """The agent and, where a token came with it, the user it works for; which policy decides now, and when that is."""

    by: Admitted
    delegation: Delegation | None
    policy_revision: str
    time: datetime


@dataclass(frozen=True, slots=True)
class IdentifyCaller:
    """Verifies what came, as issuing does; a rejection is recorded, an answer is not."""

    hearing: Hearing
    ledger: Ledger
    clock: Clock

    async def __call__(self, by: Admitted, unverified_subject_token: Secret) -> CallerIdentity:
        """Returns who it is; raises what `VerifyDelegation` raises, and Denied for who was revoked or is blocked."""
        delegation = None
        if unverified_subject_token:
            try:
                delegation = await self.hearing.verify(unverified_subject_token, by.actor)
                await self.ledger.check_presented(_presented(delegation))
            except Exception as error:
                await self._refused(error, by, unverified_subject_token)
                raise
        return CallerIdentity(by, delegation, self.hearing.policy.active.digest, self.clock.now())

    async def _refused(self, error: Exception, by: Admitted, unverified_subject_token: Secret) -> None:
        """Records the rejection."""
        told = told_of(error)
        who = Who(actor_id=by.actor.actor_id, token_fingerprint=unverified_subject_token.fingerprint, peer=by.peer)
        await self.ledger.refuse(None, None, RequestRefused(who, "", METHOD, told.reason.value, told.message))


def _presented(delegation: Delegation) -> Presented:
    """Returns what revokes and blocks of user and agent are held against; no revision decides anything here."""
    return Presented(
        subject_issuer=delegation.subject.issuer,
        subject_id=delegation.subject.subject,
        subject_token_time=delegation.token_issue_time,
        actor_id=delegation.actor.actor_id,
        actor_token_time=delegation.actor.token_issue_time,
        policy_revision="",
    )
