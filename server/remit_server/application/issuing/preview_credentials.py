"""Makes the decision of an issuance without credentials, and records that somebody looked."""

from dataclasses import dataclass

from remit_server.application.issuing.hearing import Case, Hearing, known
from remit_server.application.issuing.refusals import refusal_record
from remit_server.application.issuing.requests import Ask
from remit_server.application.planning.plan_session import Plan
from remit_server.application.ports import Clock, Ledger
from remit_server.domain.audit import PreviewDecided
from remit_server.domain.decision import Basis
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
            while True:
                try:
                    case = await self.hearing.decided(self.hearing.questioned(case))
                    plan = await self._planned(case)
                    await self._recorded(case, plan)
                    return WouldRefuse(plan) if isinstance(plan, Denied) else WouldIssue(plan, _revision(case))
                except PolicyChanged as changed:
                    case = await self.hearing.once_more(case, changed)
        except Exception as error:
            digest = self.hearing.ceilings.digest
            record = refusal_record(error, case, request_id="", method=METHOD, ceiling_digest=digest)
            await self.ledger.refuse(None, None, record, kept=case.basis.texts if case.basis else ())
            raise

    async def _recorded(self, case: Case, plan: Plan | Denied) -> None:
        """Records what was decided; raises what `check_presented` does, where what the ask comes with was revoked."""
        basis = known(case.basis)
        record = _decided(case, basis, plan, self.hearing.ceilings.digest)
        await self.ledger.record(record, kept=basis.texts, presented=case.presented)

    async def _planned(self, case: Case) -> Plan | Denied:
        """Returns the plan or the refusal as values: both are what the caller wants to know."""
        try:
            return await self.hearing.planned(case)
        except Denied as denied:
            return denied


def _revision(case: Case) -> str:
    """Returns the digest of the revision that decided."""
    return known(case.question).revision.digest


def _decided(case: Case, basis: Basis, plan: Plan | Denied, ceiling_digest: str) -> PreviewDecided:
    """Returns the record of a preview."""
    issued = plan if isinstance(plan, Plan) else None
    return PreviewDecided(
        who=case.who,
        allowed=issued is not None,
        reason=plan.reason.value if isinstance(plan, Denied) else "",
        role_arn=issued.role.arn if issued else "",
        session_policy_digest=issued.session_policy_digest if issued else "",
        input_digest=basis.question.digest,
        policy_revision=_revision(case),
        ceiling_digest=ceiling_digest,
        circumstances_digest=basis.circumstances.digest,
        decision_digest=basis.decision_digest,
    )
