"""One side of a comparison: what a revision made of a question, and what of that people are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from remit_server.application.planning.plan_session import Plan
from remit_server.application.policy.replaying.permissions import bounded
from remit_server.domain.approval import ApprovalNeed
from remit_server.domain.decision import Allow, Decision, Deny
from remit_server.domain.entitlement import Bind, Entitlement
from remit_server.domain.errors import Denied, RemitError


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a decision: a plan or a refusal. `approved` says that people had said yes to it already."""

    decision: Decision | None
    outcome: Plan | RemitError
    approved: bool
    now: datetime

    @property
    def plan(self) -> Plan | None:
        """The plan, where there is one."""
        return None if isinstance(self.outcome, RemitError) else self.outcome

    @property
    def waits(self) -> bool:
        """Says whether people are asked before anything is issued."""
        return self.plan is not None and self.plan.approval is not None and not self.approved

    @property
    def used(self) -> tuple[Entitlement, ...]:
        """The entitlements that the plan rests on."""
        if self.plan is None or not isinstance(self.decision, Allow):
            return ()
        names = set(self.plan.entitlements)
        return tuple(one for one in self.decision.entitlements if one.entitlement_id in names)

    @property
    def allowed(self) -> tuple[Entitlement, ...]:
        """Everything that policy allowed."""
        return self.decision.entitlements if isinstance(self.decision, Allow) else ()

    def allowed_of(self, role_arn: str) -> tuple[Entitlement, ...]:
        """Returns what policy allowed of a role."""
        return tuple(one for one in self.allowed if one.role_arn == role_arn)


def why_refused(answer: Answer) -> tuple[str, ...]:
    """Returns the reasons of a refusal in a form that refusals of the same kind share."""
    outcome = answer.outcome
    if not isinstance(outcome, RemitError):
        return ()
    if isinstance(answer.decision, Deny):
        return bounded([f"policy: {one.code}" for one in answer.decision.reasons])
    failures = outcome.refusal.failures if isinstance(outcome, Denied) else ()
    named = sorted({f"{one.action} is outside {_RULES.get(one.rule, one.rule)}" for one in failures if one.action})
    return bounded([outcome.reason.value, *named])


_RULES = {
    "entitlements": "the entitlements",
    "role_ceiling": "the role's own policy",
    "forbidden_floor": "what is ever issued",
}


def told_refusal(answer: Answer) -> tuple[str, ...]:
    """Returns what an agent would be told, and each permission that failed."""
    outcome = answer.outcome
    if not isinstance(outcome, RemitError):
        return ()
    failures = outcome.refusal.failures if isinstance(outcome, Denied) else ()
    named = dict.fromkeys(f"{one.action} on {one.resource}" for one in failures if one.action)
    return bounded([outcome.message, *(one for one in named if one not in outcome.message)])


def who_is_asked(need: ApprovalNeed) -> str:
    """Says in a few words who has to say yes."""
    asked = [f"{one.min_approvers} of {' or '.join(one.groups)}" for one in need.requirements]
    if need.by_subject:
        asked.append("the user in person")
    return f"{' and '.join(asked)}, for {seconds(need.valid.total_seconds())}"


def networks(binds: Sequence[Bind | None]) -> str:
    """Says in a few words where credentials may be used; empty for everywhere."""
    told = sorted({", ".join((*bind.source_cidrs, *bind.vpc_ids)) for bind in binds if bind is not None})
    return " and ".join(told)


def seconds(count: float) -> str:
    """Returns a number of seconds as people read it."""
    return f"{int(count):,} s"
