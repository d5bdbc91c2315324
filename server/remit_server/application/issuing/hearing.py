"""What issuing and previewing have in common: verify the delegation, put the question, hear the policy, plan.

A `Case` is what is known so far; each step returns a fuller one, so that a refusal is recorded with all known by then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from remit_server.application.issuing.requests import Ask
from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.circumstances import Circumstances
from remit_server.application.planning.deliberation import Deliberation
from remit_server.application.planning.explaining import no_grant_above
from remit_server.application.planning.plan_session import Plan
from remit_server.application.ports import (
    Clock,
    Ledger,
    Policy,
    Presented,
    Revision,
    TaskAbove,
    VerifyDelegation,
)
from remit_server.domain.audit import Who
from remit_server.domain.changing import changed
from remit_server.domain.decision import Allow, Basis, Decision, DecisionInput, Deny, ParentTask, decision_input
from remit_server.domain.entitlement import DEFAULT_CREDENTIAL_LIFETIME, MIN_CREDENTIAL_LIFETIME
from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest, PolicyChanged, Reason, Refusal
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Actor, Delegation
from remit_server.domain.permission import Permission
from remit_server.domain.task import Task, TaskId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """The intent spelled out in permissions, the text that the active revision is asked with, and what else counts."""

    permissions: tuple[Permission, ...]
    revision: Revision
    text: DecisionInput
    circumstances: Circumstances


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of an ask so far.

    `approval_end` is when the approval ends that it rests on. With `renews` it asks again for what a live grant gives.
    `is_decided_anew` says that another revision was activated while it was decided. `above` is the task that another
    agent handed this one on from.
    """

    ask: Ask
    time: datetime
    delegation: Delegation | None = None
    task: Task | None = None
    question: Question | None = None
    decision: Decision | None = None
    approval_end: datetime | None = None
    renews: Grant | None = None
    is_decided_anew: bool = False
    above: TaskAbove | None = None

    @property
    def actor(self) -> Actor:
        """The agent that asks."""
        return self.ask.by.actor

    @property
    def basis(self) -> Basis | None:
        """What a decision rests on, as it is kept; None before the question is put."""
        if self.question is None:
            return None
        decision = self.decision.kept if self.decision else None
        return Basis(self.question.text, self.question.circumstances.kept, decision)

    @property
    def presented(self) -> Presented:
        """What the ask comes with, once it is verified and the revision that decides is known."""
        delegation = known(self.delegation)
        return Presented(
            subject_issuer=delegation.subject.issuer,
            subject_id=delegation.subject.subject,
            subject_token_time=delegation.token_issue_time,
            actor_id=self.actor.actor_id,
            actor_token_time=self.actor.token_issue_time,
            policy_revision=self.question.revision.digest if self.question else "",
        )

    @property
    def who(self) -> Who:
        """Subject and actor as records name them: the subject only once it is verified."""
        ask, verified = self.ask, self.delegation
        if verified is None:
            fingerprint = token.fingerprint if (token := ask.unverified_subject_token) else ""
            return Who("", "", ask.by.actor.actor_id, fingerprint, ask.by.peer)
        subject, fingerprint = verified.subject, verified.token_fingerprint if ask.unverified_subject_token else ""
        return Who(subject.issuer, subject.subject, ask.by.actor.actor_id, fingerprint, ask.by.peer)


Observe = Callable[[Case, Plan | Exception], None]


@dataclass(frozen=True, slots=True)
class Hearing:
    """The steps from an authenticated actor to a proven plan."""

    verify: VerifyDelegation
    policy: Policy
    ledger: Ledger
    deliberate: Deliberation
    clock: Clock
    called_for: Callable[[TaskId], None] = lambda _: None  # a call for a task keeps its lease
    observe: Observe = lambda *_: None  # what was decided and answered, for a candidate in shadow
    spend: Callable[[Delegation], None] = lambda _: None  # takes a call from what one user has of an agent's

    @property
    def ceilings(self) -> Ceilings:
        """The gateway's own limits."""
        return self.deliberate.ceilings

    async def verified(self, case: Case) -> Case:
        """Proves for whom the actor works; raises what `VerifyDelegation` raises, and Outage(RATE_LIMITED)."""
        delegation = await self.verify(case.ask.unverified_subject_token, case.actor)
        self.spend(delegation)
        return changed(case, delegation=delegation)

    async def in_task(self, case: Case, task_id: TaskId | None) -> Case:
        """Finds the named task; raises Denied(NOT_FOUND) unless it is live and exactly this subject's and actor's."""
        if task_id is None:
            return case
        task = await self.ledger.task(task_id)
        delegation = known(case.delegation)
        if task is None or not task.belongs_to(
            delegation.subject.issuer, delegation.subject.subject, case.actor.actor_id
        ):
            raise Denied(Reason.NOT_FOUND, "no such task of this subject and actor: leave task_id empty to start one")
        if not task.is_live(case.time):
            raise Denied(Reason.GRANT_NOT_LIVE, "the task is over: leave task_id empty to start another")
        above = None
        if task.parent_task_id is not None:
            above = await self.ledger.above(task.task_id, case.time)
            if above is None or not above.task.is_live(case.time):
                raise Denied(Reason.GRANT_NOT_LIVE, "the task above is over, and this one with it")
            if not above.grants:
                raise no_grant_above()
        self.called_for(task.task_id)
        return changed(case, task=task, above=above)

    async def own_above(self, grant: Grant, now: datetime) -> GrantAbove | None:
        """Returns the grant above within which this one lies; raises Denied(GRANT_NOT_LIVE) once that is over.

        None for a grant that lies within none.
        """
        if grant.parent_grant_id is None:
            return None
        above = await self.ledger.above(grant.task_id, now)
        found = [one for one in above.grants if one.grant_id == grant.parent_grant_id] if above else []
        if not found:
            raise Denied(Reason.GRANT_NOT_LIVE, "the grant above, within which this one lies, is over")
        return GrantAbove.of(found[0])

    def questioned(self, case: Case) -> Case:
        """Spells the intent out and puts the question; raises InvalidRequest."""
        return changed(case, question=question_of(case, self.policy.active))

    async def decided(self, case: Case) -> Case:
        """Hears the policy; raises Outage where it gives no decision."""
        question = known(case.question)
        return changed(case, decision=await self.policy.decide(question.revision, question.text))

    async def once_more(self, case: Case, news: PolicyChanged) -> Case:
        """Returns the case as it was before it was decided, once this process decides by what is active now.

        Raises `news` where it is decided anew already, and Outage where that is not decided by yet.
        """
        if case.is_decided_anew:
            raise news
        await self.policy.follow(news.activation)
        return changed(case, question=None, decision=None, is_decided_anew=True)

    async def planned(self, case: Case) -> Plan:
        """Plans within what policy allowed; raises Denied with its reasons or the failing permission, or Outage."""
        question = known(case.question)
        match case.decision:
            case Deny() as no:
                raise policy_denied(no)
            case Allow() as allow:
                return await self.deliberate(question.circumstances.wish(question.permissions), allow, case.actor)
            case None:
                raise AssertionError("a step of the hearing was left out")

    def answered(self, case: Case, plan: Plan, answer: T) -> T:
        """Returns the answer of a live call, once a candidate in shadow may know of it."""
        self.observe(case, plan)
        return answer


def question_of(case: Case, revision: Revision) -> Question:
    """Returns the question that a case, whose delegation is known, puts to a revision; raises InvalidRequest."""
    ask = case.ask
    check_duration(ask.requested_duration)
    circumstances = _circumstances(case)
    permissions = circumstances.spelt_out(revision.capabilities)
    text = decision_input(
        known(case.delegation),
        ask.intent,
        permissions,
        task_id=case.task.task_id if case.task else None,
        grants_so_far=_others_so_far(case),
        requested_duration=ask.requested_duration or DEFAULT_CREDENTIAL_LIFETIME,
        now=case.time,
        source_ip=ask.by.peer,
        renewal=case.renews is not None,
        parent_task=_parent_task(case.above) if case.above else None,
    )
    return Question(permissions, revision, text, circumstances)


def policy_denied(deny: Deny) -> Denied:
    """Returns the refusal that a policy's no amounts to."""
    first = deny.reasons[0]
    sentence = "; ".join(reason.message for reason in deny.reasons)
    return Denied(Reason.POLICY_DENIED, f"{sentence} ({first.code})", Refusal(remedy=first.remedy))


def known(value: T | None) -> T:
    """Returns a value that an earlier step has set."""
    if value is None:
        raise AssertionError("a step of the hearing was left out")
    return value


def _others_so_far(case: Case) -> int:
    """Returns how many grants the task has had beside the one that is asked for."""
    return case.task.grants_so_far - (case.renews is not None) if case.task else 0


def _circumstances(case: Case) -> Circumstances:
    """Returns what of a case matters for planning."""
    ask, delegation = case.ask, known(case.delegation)
    return Circumstances(
        permissions=ask.intent.permissions,
        capabilities=ask.intent.capabilities,
        requested=ask.requested_duration,
        narrowed=ask.narrow,
        task=case.task,
        token_end=delegation.token_expire_time if delegation.bind_expiry else None,
        approval_end=case.approval_end,
        now=case.time,
        above=_within(case),
    )


def _within(case: Case) -> tuple[GrantAbove, ...] | None:
    """Returns within which grants the plan has to lie: a renewal stays within its own."""
    if case.above is None:
        return None
    own = case.renews.parent_grant_id if case.renews else None
    return tuple(GrantAbove.of(grant) for grant in case.above.grants if own in {None, grant.grant_id})


def _parent_task(above: TaskAbove) -> ParentTask:
    """Returns the task above as policy sees it."""
    rest_on = tuple(name for grant in above.grants for name in grant.entitlements)
    return ParentTask(above.task.task_id, above.task.actor_id, above.task.depth, rest_on)


def check_duration(requested: timedelta | None) -> None:
    """Refuses lifetimes that are too short to use; raises InvalidRequest."""
    if requested is not None and requested < MIN_CREDENTIAL_LIFETIME:
        seconds = int(MIN_CREDENTIAL_LIFETIME.total_seconds())
        raise InvalidRequest([FieldViolation("requested_duration", f"must be {seconds} seconds or more")])
