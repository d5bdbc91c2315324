"""May this operator do that? The policy says so, or the configuration names an administrator; either is on record."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from remit_server.application.oversight.admitting import called
from remit_server.application.oversight.ports import AdminPolicy, Records
from remit_server.application.ports import Clock, Revision
from remit_server.domain.administration import EVERYTHING, AdminAllow, AdminDecision, AdminDeny, Visibility, admin_input
from remit_server.domain.decision import DecisionInput
from remit_server.domain.errors import Denied, PolicyChanged, Reason, told_of
from remit_server.domain.lifecycle_records import OperatorCalled
from remit_server.domain.operator import Operator
from remit_server.domain.revocation import Target

# What an administrator may do whatever the policy says, also while there is no policy that says anything.
# Going back to an earlier policy revision, and lifting a block that stands in the way of that, are in
# `as_administrator`; what there is to go back to is seen here.
ALWAYS: Final = frozenset(
    {
        "GrantService.RevokeGrants",
        "GrantService.ListBlocks",
        "AuditService.VerifyChain",
        "PolicyService.ListRevisions",
        "PolicyService.GetRevision",
    }
)
ADMINISTRATOR: Final = "ADMINISTRATOR"
# What the active policy does to whom it does not let: it says no, or nothing.
NOT_BY_POLICY: Final = frozenset({Reason.NOT_AUTHORIZED, Reason.POLICY_UNAVAILABLE, Reason.OVERLOADED, Reason.INTERNAL})
Check = Callable[[Visibility], Awaitable[None]]


async def _nothing(_: Visibility) -> None:
    """Holds a call against nothing more."""


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
        check: Check = _nothing,
    ) -> Visibility:
        """Returns which grants the caller sees; `whole` asks for one who sees everything.

        `check` holds the call against what the caller sees, before it is on record as allowed. Raises
        Denied(NOT_AUTHORIZED), what `check` raises, Outage(POLICY_UNAVAILABLE), or Outage(LEDGER_UNAVAILABLE).
        """
        call: Callable[..., OperatorCalled] = partial(called, operator, rpc, about=about)
        if operator.name in self.administrators and rpc in ALWAYS:
            visibility, call = EVERYTHING, partial(call, reason=ADMINISTRATOR)
        else:
            question = admin_input(operator, rpc, target=target, block=block, now=self.clock.now())
            call, visibility = await self._by_policy(question, operator, call=call, whole=whole)
        try:
            await check(visibility)
        except Exception as error:
            await self.records.record(call(reason=told_of(error).reason.value))
            raise
        await self.records.record(call(allowed=True))
        return visibility

    async def as_administrator(self, operator: Operator, rpc: str, *, about: str) -> bool:
        """Says whether the caller is an administrator, to whom policy did not say yes, and then records the call.

        For the two calls that are allowed to them within limits that their use cases keep.
        """
        if operator.name not in self.administrators:
            return False
        await self.records.record(called(operator, rpc, allowed=True, reason=ADMINISTRATOR, about=about))
        return True

    async def _by_policy(
        self, question: DecisionInput, operator: Operator, *, call: Callable[..., OperatorCalled], whole: bool
    ) -> tuple[Callable[..., OperatorCalled], Visibility]:
        """Returns what policy lets the caller see, and what its record says; a no, and an outage, is on record."""
        call = partial(call, revision=self.policy.active.digest)
        try:
            revision, decision = await self._decided(question)
        except Exception as error:
            await self.records.record(call(reason=told_of(error).reason.value))
            raise
        call = partial(call, revision=revision.digest)
        answer = _answered(decision, operator, whole=whole)
        if isinstance(answer, Denied):
            await self.records.record(call(reason=_codes(decision)))
            raise answer
        return call, answer

    async def _decided(self, question: DecisionInput) -> tuple[Revision, AdminDecision]:
        """Returns what the active revision decides, and which it is; one that was activated meanwhile is asked anew."""
        revision = self.policy.active
        try:
            return revision, await self.policy.administer(revision, question)
        except PolicyChanged as changed:
            await self.policy.follow(changed.activation)
        revision = self.policy.active
        return revision, await self.policy.administer(revision, question)

    async def sees_everything(self, operator: Operator, rpc: str) -> bool:
        """Says whether the policy lets the caller do this and see everything, for calls that others may make, too.

        Nothing is recorded here. Raises Outage(POLICY_UNAVAILABLE).
        """
        question = admin_input(operator, rpc, target=None, block=False, now=self.clock.now())
        match (await self._decided(question))[1]:
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
