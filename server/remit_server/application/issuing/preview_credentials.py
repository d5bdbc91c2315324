"""Makes the decision of an issuance without credentials, and records that somebody looked."""

from dataclasses import dataclass

from remit_server.application.issuing.hearing import Case, Hearing, known
from remit_server.application.issuing.refusals import refusal_record
from remit_server.application.issuing.requests import Ask
from remit_server.application.planning.plan_session import Plan
from remit_server.application.ports import Clock, Ledger
from remit_server.domain.audit import PreviewDecided
from remit_server.domain.errors import Denied, PolicyChanged

METHOD = "PreviewCredentials"


@dataclass(frozen=True, slots=True)
class WouldIssue:
    """What would be issued, under which revision."""

    plan: Plan
    policy_revision: str


@dataclass(frozen=True, slots=True)
class WouldRefuse:
    """Why it would be refused."""

    denied: Denied


@dataclass(frozen=True, slots=True)
class PreviewCredentials:
    """Hears an ask as issuing does; a no about the intent is an answer here, any other failure is raised."""

    hearing: Hearing
    ledger: Ledger
    clock: Clock

    async def __call__(self, ask: Ask) -> WouldIssue | WouldRefuse:
        """Returns what would happen.

        Raises RemitError when the delegation or the task is not accepted, or on an outage.
        """
        case = Case(ask, self.clock.now())
        try:
            case = await self.hearing.verified(case)
            case = await self.hearing.in_task(case, ask.task_id)
            try:
                case = await self._decided(case)
            except PolicyChanged as changed:
                case = await self._decided(await self.hearing.once_more(case, changed))
            plan = await self._planned(case)
        except Exception as error:
            digest = self.hearing.ceilings.digest
            record = refusal_record(error, case, request_id="", method=METHOD, ceiling_digest=digest)
            await self.ledger.refuse(None, None, record, kept=case.basis.texts if case.basis else ())
            raise
        await self.ledger.record(_decided(case, plan, self.hearing.ceilings.digest), kept=known(case.basis).texts)
        if isinstance(plan, Denied):
            return WouldRefuse(plan)
        return WouldIssue(plan, known(case.question).revision.digest)

    async def _decided(self, case: Case) -> Case:
        """Puts the question and hears the policy, unless what the ask comes with was revoked."""
        case = self.hearing.questioned(case)
        await self.ledger.check_presented(case.presented)
        return await self.hearing.decided(case)

    async def _planned(self, case: Case) -> Plan | Denied:
        """Returns the plan or the refusal as values: both are what the caller wants to know."""
        try:
            return await self.hearing.planned(case)
        except Denied as denied:
            return denied


def _decided(case: Case, plan: Plan | Denied, ceiling_digest: str) -> PreviewDecided:
    """Returns the record of a preview."""
    question = known(case.question)
    issued = plan if isinstance(plan, Plan) else None
    return PreviewDecided(
        who=case.who,
        allowed=issued is not None,
        reason=plan.reason.value if isinstance(plan, Denied) else "",
        role_arn=issued.role.arn if issued else "",
        session_policy_digest=issued.session_policy_digest if issued else "",
        input_digest=question.text.digest,
        policy_revision=question.revision.digest,
        ceiling_digest=ceiling_digest,
        circumstances_digest=question.circumstances.kept.digest,
        decision_digest=known(case.basis).decision_digest,
    )
