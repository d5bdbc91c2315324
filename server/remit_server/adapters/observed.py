"""The steps of a call as an observer sees them: each port behind one that tells of its begin and its end.

Wired only where somebody looks on. None of them sees what a step is about.
"""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.adapters.database.writing.batch import Operation, T
from remit_server.adapters.database.writing.group_commit import GroupCommit
from remit_server.application.observing import Observer, Step, observed
from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.deliberation import Deliberation
from remit_server.application.planning.plan_session import Plan, Wish
from remit_server.application.ports import AssumeRole, Policy, Revision, VerifyDelegation
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.decision import Allow, Decision, DecisionInput, Deny
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Actor, Delegation
from remit_server.domain.secret import Secret

_NO: Final = Denied(Reason.POLICY_DENIED, "policy said no")


@dataclass(frozen=True, slots=True)
class ObservedVerification:
    """Verifies delegations (implements `VerifyDelegation`)."""

    verify: VerifyDelegation
    observer: Observer

    def __call__(self, unverified_subject_token: Secret, actor: Actor, /) -> Coroutine[Any, Any, Delegation]:
        """Returns what is observed, and its outcome."""
        return observed(self.observer, Step.VERIFY, self.verify(unverified_subject_token, actor))


@dataclass(frozen=True, slots=True)
class ObservedPolicy:
    """Decides (implements `Policy`)."""

    policy: Policy
    observer: Observer

    @property
    def active(self) -> Revision:
        """The revision that decides now."""
        return self.policy.active

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        """Returns the decision; a no is a refusal to the observer."""
        observer = self.observer
        begun = observer.begins(Step.DECIDE)
        try:
            decision = await self.policy.decide(revision, question)
        except BaseException as error:
            observer.ends(Step.DECIDE, begun, error)
            raise
        observer.ends(Step.DECIDE, begun, _NO if isinstance(decision, Deny) else None)
        return decision

    def follow(self, activation: int, /) -> Coroutine[Any, Any, None]:
        """Follows an activation."""
        return self.policy.follow(activation)


@dataclass(slots=True)
class ObservedDeliberation(Deliberation):
    """Plans sessions."""

    observer: Observer = field(kw_only=True)

    def __call__(self, wish: Wish, allow: Allow, actor: Actor) -> Coroutine[Any, Any, Plan]:
        """Returns the plan."""
        return observed(self.observer, Step.PLAN, Deliberation.__call__(self, wish, allow, actor))

    def again(self, grant: Grant, actor: Actor, above: GrantAbove | None = None) -> Coroutine[Any, Any, None]:
        """Proves the policy of a live grant again."""
        return observed(self.observer, Step.PLAN, Deliberation.again(self, grant, actor, above))


@dataclass(frozen=True, slots=True)
class ObservedSts:
    """Asks AWS STS (implements `AssumeRole`)."""

    assume_role: AssumeRole
    observer: Observer

    def __call__(self, order: SessionOrder, /, *, deadline: float) -> Coroutine[Any, Any, StsSession]:
        """Returns the session."""
        return observed(self.observer, Step.STS, self.assume_role(order, deadline=deadline))


class ObservedCommit(GroupCommit):
    """Writes by group commit, of which an observer is told for each operation."""

    def __init__(self, *values: Any, onlooker: Observer, **named: Any) -> None:
        super().__init__(*values, **named)
        self._onlooker = onlooker

    def __call__(self, operation: Operation[T], *, counterpart: Operation[Any] | None = None) -> Coroutine[Any, Any, T]:
        """Returns the operation's result once it is on disk."""
        return observed(self._onlooker, Step.RECORD, super().__call__(operation, counterpart=counterpart))
