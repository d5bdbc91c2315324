"""Gives new credentials of a live grant: decided again, proven again, recorded before and after STS is asked."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime

from remit_server.application.approvals.ask_approval import AskApproval
from remit_server.application.issuing.flights import Flights
from remit_server.application.issuing.grants import issuance_of, order_of
from remit_server.application.issuing.handing_out import OUTCOME_WITHIN, STS_WITHIN
from remit_server.application.issuing.hearing import Case, Hearing, known
from remit_server.application.issuing.refusals import refusal_record
from remit_server.application.issuing.to_the_end import ToTheEnd
from remit_server.application.lifecycle.comparing import Compared, compared, is_alike
from remit_server.application.lifecycle.kept_delegation import kept_delegation, needs_the_user
from remit_server.application.lifecycle.ports import AcceptsSubjects, RenewalAuthorization, Renewals
from remit_server.application.lifecycle.renewals import RenewRequest, ask_of, authorization_of
from remit_server.application.planning.plan_session import Plan
from remit_server.application.ports import AssumeRole, Clock, Ledger
from remit_server.domain.approval import Approval
from remit_server.domain.changing import changed
from remit_server.domain.credentials import Credentials, StsSession
from remit_server.domain.errors import Denied, Outage, PolicyChanged, Reason, Refusal, Remedy, RemitError
from remit_server.domain.grant import Grant
from remit_server.domain.lifecycle_records import CredentialsRenewed, RenewalFailed
from remit_server.domain.permission import as_permissions
from remit_server.iam import Document, allows_of

METHOD = "RenewCredentials"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Renewed:
    """The grant as it is now, its credentials, given this once, and whether they may do less than the earlier ones."""

    grant: Grant
    credentials: Credentials
    narrowed: bool


@dataclass(frozen=True, slots=True)
class RenewCredentials:
    """Finds the grant, verifies, decides, proves, compares, records, asks STS, records again, answers."""

    hearing: Hearing
    ledger: Ledger
    renewals: Renewals
    accepts: AcceptsSubjects
    assume_role: AssumeRole
    clock: Clock
    ask: AskApproval
    to_the_end: ToTheEnd = field(default_factory=ToTheEnd)
    flights: Flights = field(default_factory=Flights)

    async def __call__(self, request: RenewRequest) -> Renewed:
        """Returns credentials; raises RemitError, in which case nobody holds new ones and a record says why."""
        case = Case(ask_of(request), self.clock.now())
        async with self.flights(case.actor.actor_id, request.grant_id):
            try:
                case = await self._of_own_grant(case, request)
                case = await self._delegated(case)
                case = await self.hearing.in_task(case, request.task_id)
                approval = await self.ask.of_live(known(case.renews), case.time)
                if approval is not None:
                    case = changed(case, approval_end=approval.valid_until)
                while True:
                    try:
                        case = await self.hearing.decided(self.hearing.questioned(case))
                        plan = await self._planned(case, approval)
                        narrowed = await self._narrowed(case, plan, narrow=request.narrow)
                        authorization = authorization_of(case, plan, narrowed=narrowed)
                        renewing_time = await self.renewals.authorize(authorization)
                        renewed = await self.to_the_end(self._renewed(authorization, renewing_time))
                        return self.hearing.answered(case, plan, renewed)
                    except PolicyChanged as news:
                        case = await self.hearing.once_more(case, news)
            except Exception as error:
                await self._refused(error, case)
                raise

    async def _of_own_grant(self, case: Case, request: RenewRequest) -> Case:
        """Finds the grant; raises Denied: NOT_FOUND unless it is this actor's, GRANT_NOT_LIVE once it is over."""
        grant = await self.renewals.grant(request.grant_id)
        if grant is None or (grant.task_id, grant.actor_id) != (request.task_id, case.actor.actor_id):
            raise Denied(Reason.NOT_FOUND, "no such grant of this actor: ask for a new one")
        if grant.is_attenuated:
            message = f"an attenuated grant is never renewed: attenuate the grant it lies within, {grant.parent_name}"
            raise Denied(Reason.GRANT_NOT_LIVE, message)
        if not grant.is_live(case.time):
            raise Denied(Reason.GRANT_NOT_LIVE, "the grant is over: ask for a new one")
        if grant.intent is None:
            message = (
                "the grant was issued by an earlier version of the gateway, which kept no intent: ask for a new one"
            )
            raise Denied(Reason.GRANT_NOT_LIVE, message)
        return changed(case, ask=ask_of(request, grant), renews=grant)

    async def _delegated(self, case: Case) -> Case:
        """Proves for whom the actor works; without the user, only where that was agreed on and who it is was kept."""
        if case.ask.unverified_subject_token:
            return await self.hearing.verified(case)
        grant = known(case.renews)
        if not grant.offline_renewal:
            raise needs_the_user("this grant is renewed for a user who is there")
        if not self.accepts(grant.subject_issuer):
            raise needs_the_user("the gateway renews nothing without a token for users of this issuer any more")
        text = await self.renewals.kept_question(grant.grant_id)
        if text is None:
            raise needs_the_user("what was known of the user has been erased")
        return changed(case, delegation=kept_delegation(text, grant, case.actor))

    async def _planned(self, case: Case, approval: Approval | None) -> Plan:
        """Plans again; what people said yes to bounds how long, and is neither changed nor skipped."""
        plan = await self.hearing.planned(case)
        self.ask.check_renewal(known(case.renews), approval, case, plan)
        return plan

    async def _narrowed(self, case: Case, plan: Plan, *, narrow: bool) -> bool:
        """Says whether the new credentials may do less than the grant's; raises Denied where that was not asked for."""
        grant = known(case.renews)
        if plan.role.arn != grant.role_arn:
            message = "the active policy gives this on another role than the grant's: ask for a new grant"
            raise Denied(Reason.POLICY_DENIED, message)  # not GRANT_NOT_LIVE: what it gave before lives on
        if not case.ask.unverified_subject_token and not plan.offline_renewal:
            raise needs_the_user("the active policy does not renew this without the user any more")
        texts = (grant.session_policy, plan.session_policy)
        if is_alike(*texts):
            return False
        found = await self.hearing.deliberate.beside_the_loop(case.actor.actor_id, compared, *texts)
        if found is Compared.LESS and not narrow:
            raise Denied(
                Reason.CEILING_EXCEEDED,
                "the active policy allows less than the grant's credentials may do: renew with narrow to get that",
                Refusal(
                    Remedy.NARROW, offer=as_permissions(allows_of(Document.parse(plan.session_policy, authored=True)))
                ),
            )
        return found is not Compared.NOT_LESS

    async def _renewed(self, authorization: RenewalAuthorization, renewing_time: datetime) -> Renewed:
        """Calls STS and records the issuance before anybody sees a key; withholds the credentials when that fails."""
        ordered, until = authorization.after, authorization.until
        session: StsSession | None = None
        try:
            async with asyncio.timeout(OUTCOME_WITHIN.total_seconds()):
                deadline = self.clock.monotonic() + STS_WITHIN.total_seconds()
                order = order_of(ordered, until, self.hearing.ceilings, self.clock.now())
                session = await self.assume_role(order, deadline=deadline)
                issuance = issuance_of(ordered, until, session, self.clock.now())
                record = CredentialsRenewed(
                    who=authorization.record.who,
                    task_id=ordered.task_id,
                    grant_id=ordered.grant_id,
                    access_key_id=issuance.access_key_id,
                    session_policy_digest=issuance.session_policy_digest,
                    policy_revision=issuance.policy_revision,
                    expire_time=issuance.expire_time,
                    packed_policy_percent=issuance.packed_policy_percent,
                    narrowed=authorization.record.narrowed,
                )
                await self.renewals.renew(authorization, renewing_time, issuance, record)
        except BaseException as error:
            await self._withheld(authorization, renewing_time, error, answered=session is not None)
            if isinstance(error, TimeoutError):
                raise Outage(Reason.STS_UNAVAILABLE, "renewing took too long and was given up: ask again") from error
            raise
        grant = changed(authorization.after, issuances=(*authorization.after.issuances, issuance))
        credentials = changed(session.credentials, expire_time=issuance.expire_time)
        return Renewed(grant, credentials, record.narrowed)

    async def _withheld(
        self, authorization: RenewalAuthorization, renewing_time: datetime, error: BaseException, *, answered: bool
    ) -> None:
        """Records that no caller was given credentials. If even that fails, the sweeper settles it."""
        unsure = error.credentials_may_exist if isinstance(error, Outage) else not isinstance(error, Denied)
        reason = error.reason if isinstance(error, RemitError) else Reason.INTERNAL
        grant = authorization.after
        record = RenewalFailed(grant.task_id, grant.grant_id, reason.value, answered or unsure)
        try:
            await self.renewals.fail(authorization, renewing_time, record)
        except RemitError:
            _log.exception("the outcome of a renewal could not be recorded; the sweeper will settle it")

    async def _refused(self, error: Exception, case: Case) -> None:
        """Records the no."""
        digest = self.hearing.ceilings.digest
        record = refusal_record(error, case, request_id="", method=METHOD, ceiling_digest=digest)
        kept = case.basis.texts if case.basis else ()
        await self.ledger.refuse(None, None, record, kept=kept)
        self.hearing.observe(case, error)
