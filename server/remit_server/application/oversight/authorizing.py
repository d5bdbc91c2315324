"""May this operator do that? The policy says so, or the configuration names an administrator; either is on record."""

from dataclasses import dataclass
from typing import Final

from remit_server.application.oversight.admitting import called
from remit_server.application.oversight.ports import AdminPolicy, Records
from remit_server.application.ports import Clock
from remit_server.domain.administration import EVERYTHING, AdminAllow, AdminDecision, AdminDeny, Visibility, admin_input
from remit_server.domain.errors import Denied, Reason, told_of
from remit_server.domain.operator import Operator
from remit_server.domain.revocation import Target

# What an administrator may do whatever the policy says, also while there is no policy that says anything.
ALWAYS: Final = frozenset({"GrantService.RevokeGrants", "GrantService.ListBlocks", "AuditService.VerifyChain"})
ADMINISTRATOR: Final = "ADMINISTRATOR"


@dataclass(frozen=True, slots=True)
class Authorize:
    """Decides on calls of the security side, and records every one of them before it is answered or done."""

    policy: AdminPolicy
    administrators: frozenset[str]
    records: Records
    clock: Clock

    async def __call__(
        self,
        operator: Operator,
        rpc: str,
        *,
        target: Target | None = None,
        block: bool = False,
        about: str = "",
        whole: bool = False,
    ) -> Visibility:
        """Returns which grants the caller sees; `whole` asks for one who sees everything.

        Raises Denied(NOT_AUTHORIZED), or Outage(POLICY_UNAVAILABLE), or Outage(LEDGER_UNAVAILABLE).
        """
        if operator.name in self.administrators and rpc in ALWAYS:
            await self.records.record(called(operator, rpc, allowed=True, reason=ADMINISTRATOR, about=about))
            return EVERYTHING
        revision = self.policy.active
        question = admin_input(operator, rpc, target=target, block=block, now=self.clock.now())
        try:
            decision = await self.policy.administer(revision, question)
        except Exception as error:
            reason = told_of(error).reason.value
            await self.records.record(called(operator, rpc, reason=reason, revision=revision.digest, about=about))
            raise
        answer = _answered(decision, operator, whole=whole)
        allowed, reason = (True, "") if isinstance(answer, Visibility) else (False, _codes(decision))
        await self.records.record(
            called(operator, rpc, allowed=allowed, reason=reason, revision=revision.digest, about=about)
        )
        if isinstance(answer, Denied):
            raise answer
        return answer

    async def sees_everything(self, operator: Operator, rpc: str) -> bool:
        """Says whether the policy lets the caller do this and see everything, for calls that others may make, too.

        Nothing is recorded here. Raises Outage(POLICY_UNAVAILABLE).
        """
        question = admin_input(operator, rpc, target=None, block=False, now=self.clock.now())
        match await self.policy.administer(self.policy.active, question):
            case AdminAllow(visible):
                return visible.everything
            case AdminDeny():
                return False


def _answered(decision: AdminDecision, operator: Operator, *, whole: bool) -> Visibility | Denied:
    """Returns what the caller sees, or the refusal with the policy's own sentence."""
    match decision:
        case AdminAllow(visible):
            if whole and not visible.everything:
                message = "this is for callers to whom the policy makes everything visible"
                return Denied(Reason.NOT_AUTHORIZED, message)
            return Visibility.of(visible, operator)
        case AdminDeny(reasons):
            return Denied(Reason.NOT_AUTHORIZED, f"policy refuses this call: {reasons[0].message}")


def _codes(decision: AdminDecision) -> str:
    """Returns why a decision was a no, by the policy's own codes."""
    if isinstance(decision, AdminDeny):
        return ", ".join(reason.code for reason in decision.reasons)
    return Reason.NOT_AUTHORIZED.value
