"""From an authorized grant to credentials in somebody's hands: STS is asked, the issuance recorded, only then given."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from remit_server.application.issuing.grants import issuance_of, order_of
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.ports import AssumeRole, Clock, Ledger
from remit_server.domain.audit import CredentialsIssued, IssuanceFailed, Who
from remit_server.domain.changing import changed
from remit_server.domain.credentials import Credentials, StsSession
from remit_server.domain.errors import Denied, Outage, Reason, RemitError
from remit_server.domain.grant import Grant, GrantState

OUTCOME_WITHIN = timedelta(seconds=20)
STS_WITHIN = timedelta(seconds=15)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Issued:
    """The grant, and the credentials that are given this once."""

    grant: Grant
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class HandOut:
    """Gives the credentials of a grant that is AUTHORIZED, or again those of one that is ISSUED (`repeated`)."""

    ledger: Ledger
    assume_role: AssumeRole
    clock: Clock
    ceilings: Ceilings

    async def __call__(self, grant: Grant, who: Who, request_id: str, *, repeated: bool = False) -> Issued:
        """Calls STS and records the issuance before anybody sees a key; withholds the credentials when that fails."""
        session: StsSession | None = None
        try:
            async with asyncio.timeout(OUTCOME_WITHIN.total_seconds()):
                deadline = self.clock.monotonic() + STS_WITHIN.total_seconds()
                until = grant.policy_end
                order = order_of(grant, until, self.ceilings, self.clock.now())
                session = await self.assume_role(order, deadline=deadline)
                issuance = issuance_of(grant, until, session, self.clock.now())
                record = CredentialsIssued(
                    who=who,
                    request_id=request_id,
                    task_id=grant.task_id,
                    grant_id=grant.grant_id,
                    access_key_id=issuance.access_key_id,
                    session_policy_digest=issuance.session_policy_digest,
                    policy_revision=issuance.policy_revision,
                    expire_time=issuance.expire_time,
                    packed_policy_percent=issuance.packed_policy_percent,
                    repeated=repeated,
                )
                await self.ledger.issue(grant.grant_id, issuance, record)
        except BaseException as error:
            await self._withheld(grant, error, answered=session is not None)
            if isinstance(error, TimeoutError):
                raise Outage(Reason.STS_UNAVAILABLE, "issuing took too long and was given up: ask again") from error
            raise
        credentials = changed(session.credentials, expire_time=issuance.expire_time)
        issued = changed(grant, state=GrantState.ISSUED, issuances=(*grant.issuances, issuance))
        return Issued(issued, credentials)

    async def _withheld(self, grant: Grant, error: BaseException, *, answered: bool) -> None:
        """Records that no caller was given credentials. If even that fails, the sweeper finds the grant.

        `answered` says that STS made some: then the grant did not FAIL, whatever went wrong afterwards.
        """
        unsure = error.credentials_may_exist if isinstance(error, Outage) else not isinstance(error, Denied)
        may_exist = answered or unsure
        reason = error.reason if isinstance(error, RemitError) else Reason.INTERNAL
        state = GrantState.REVOKING if may_exist else GrantState.FAILED
        if grant.state is GrantState.ISSUED:
            state = GrantState.ISSUED  # a repeat: what was issued before lives on
        record = IssuanceFailed(grant.task_id, grant.grant_id, reason.value, state.value)
        try:
            refusal = error if isinstance(error, Denied) and not may_exist else None
            await self.ledger.fail(grant.grant_id, record, credentials_may_exist=may_exist, refusal=refusal)
        except RemitError:
            _log.exception("the outcome of a grant could not be recorded; the sweeper will take it")
