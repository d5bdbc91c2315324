"""Answers what would happen if: these claims, this agent, this intent, at this time, by this revision."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from remit_server.application.issuing.grants import supposed_order
from remit_server.application.issuing.hearing import Case, question_of
from remit_server.application.issuing.requests import Ask
from remit_server.application.planning.plan_session import Plan, Planner
from remit_server.application.policy.deciding.redeciding import redecide
from remit_server.application.policy.ports import Judge
from remit_server.domain.credentials import SessionOrder
from remit_server.domain.decision import Decision, DecisionInput, ParentTask, canonical_json
from remit_server.domain.entitlement import AssumedBy
from remit_server.domain.errors import Denied, InvalidRequest
from remit_server.domain.identity import Admitted, Delegation
from remit_server.domain.secret import Secret
from remit_server.domain.task import GrantId, TaskId, TaskIntent

TASK, GRANT = TaskId("<task>"), GrantId("<grant>")
"""Stand in the place of ids that are random at each issue."""

ISSUING, USING = "AssumeRole", "session"
USER_AGENT: Final = "remit-server"


@dataclass(frozen=True, slots=True)
class Supposition:
    """What is supposed: the claims of a token (a JSON text that nobody verified), the agent that presents it, its ask.

    `agent` is its id in the configuration, or its name in policies. With `parent_task` another agent handed it on.
    """

    claims: str
    agent: str
    intent: TaskIntent
    time: datetime
    requested_duration: timedelta | None = None
    narrow: bool = False
    source_ip: str = ""
    parent_task: ParentTask | None = None


@dataclass(frozen=True, slots=True)
class Supposed:
    """The delegation that the claims amount to, and what a live call also holds a token to, which is not done here."""

    delegation: Delegation
    notes: tuple[str, ...]


class Suppose(Protocol):
    """Reads claims as the configured issuer's tokens are read, but for the signature."""

    def __call__(self, claims: str, agent: str, now: datetime, /) -> Supposed:
        """Returns the delegation.

        Raises InvalidRequest for what is no claims or no agent, Denied as a live call would for what is no user's
        proper token.
        """
        ...


@dataclass(frozen=True, slots=True)
class Simulated:
    """What would happen: an issue by this plan, or this refusal.

    `question` and `decision` are None where it would not come to them. `cloudtrail` is what AWS would log, by event
    and field: `AssumeRole/...` of the call that opens the session, `session/...` of every call made with it.
    """

    revision: str
    outcome: Plan | Denied
    question: DecisionInput | None = None
    decision: Decision | None = None
    delegation: Delegation | None = None
    notes: tuple[str, ...] = ()
    cloudtrail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimulateDecision:
    """Asks a revision as a live call would ask it, plans as that would, and issues nothing."""

    suppose: Suppose
    planner: Planner

    async def __call__(self, judge: Judge, supposition: Supposition) -> Simulated:
        """Returns what would happen.

        Raises InvalidRequest for a malformed supposition, Outage where policy gives no decision or names a role that
        the configuration lacks. Planning may take up to a second: not for the event loop of agents.
        """
        revision = judge.revision.digest
        try:
            supposed = self.suppose(supposition.claims, supposition.agent, supposition.time)
        except Denied as denied:
            return Simulated(revision, denied)
        case = _case(supposition, supposed.delegation)
        case = replace(case, question=question_of(case, judge.revision))
        assert case.question is not None  # noqa: S101 - set just now
        text = _handed_on(case.question.text, supposition.parent_task)
        found = await redecide(judge, self.planner, text, case.question.circumstances)
        if isinstance(found.outcome, InvalidRequest):
            raise found.outcome
        return Simulated(
            revision=revision,
            outcome=found.outcome,
            question=found.question,
            decision=found.decision,
            delegation=supposed.delegation,
            notes=supposed.notes if supposition.parent_task is None else (*supposed.notes, _OF_A_LIVE_CALL),
            cloudtrail=self._cloudtrail(case, found.outcome) if isinstance(found.outcome, Plan) else {},
        )

    def _cloudtrail(self, case: Case, plan: Plan) -> Mapping[str, str]:
        return cloudtrail(supposed_order(case, plan, self.planner.ceilings, task_id=TASK, grant_id=GRANT))


_OF_A_LIVE_CALL: Final = (
    "a live call must also lie within one live grant of the task above, and ends with it: none is supposed here"
)


def _handed_on(question: DecisionInput, parent_task: ParentTask | None) -> DecisionInput:
    """Returns the question of an agent to which the work was handed on, where it is supposed that it was."""
    if parent_task is None:
        return question
    return DecisionInput(canonical_json({**json.loads(question.text), "parent_task": parent_task.as_json}))


def cloudtrail(order: SessionOrder) -> Mapping[str, str]:
    """Returns what AWS CloudTrail shows of a session, by event and field (7-aws-facts.md 4.5).

    Only what this gateway decides: of an event's other fields nothing is said. The tags of a session that is opened by
    web identity stand in its token.
    """
    return {f"{ISSUING}/{path}": value for path, value in _opening(order)} | {
        f"{USING}/{path}": value for path, value in _using(order)
    }


def _opening(order: SessionOrder) -> list[tuple[str, str]]:
    """Returns fields of the event that opens the session."""
    by_token = order.role.assumed_by is AssumedBy.WEB_IDENTITY
    fields = [
        ("eventSource", "sts.amazonaws.com"),
        ("eventName", "AssumeRoleWithWebIdentity" if by_token else "AssumeRole"),
        ("awsRegion", order.role.region),
        ("userAgent", USER_AGENT),
        ("requestParameters.roleArn", order.role.arn),
        ("requestParameters.roleSessionName", order.session_name),
        ("requestParameters.durationSeconds", str(order.duration_seconds)),
        ("requestParameters.policy", order.session_policy),
    ]
    if by_token:
        fields += [("userIdentity.type", "WebIdentityUser"), ("userIdentity.userName", order.role.web_identity_subject)]
        return fields
    tags = [{"key": key, "value": value} for key, value in order.tags]
    return [
        *fields,
        ("requestParameters.sourceIdentity", order.source_identity),
        ("requestParameters.tags", json.dumps(tags, separators=(",", ":"))),
    ]


def _using(order: SessionOrder) -> list[tuple[str, str]]:
    """Returns fields of the event of each call that is made with the credentials."""
    role = order.role
    partition = role.arn.split(":")[1]
    return [
        ("userIdentity.type", "AssumedRole"),
        ("userIdentity.arn", f"arn:{partition}:sts::{role.account}:assumed-role/{role.name}/{order.session_name}"),
        ("userIdentity.accountId", role.account),
        ("userIdentity.sessionContext.sessionIssuer.type", "Role"),
        ("userIdentity.sessionContext.sessionIssuer.arn", role.arn),
        ("userIdentity.sessionContext.sessionIssuer.userName", role.name),
        ("userIdentity.sessionContext.sourceIdentity", order.source_identity),
    ]


def _case(supposition: Supposition, delegation: Delegation) -> Case:
    """Returns the case that a live call of this ask would be."""
    ask = Ask(
        by=Admitted(delegation.actor, supposition.source_ip),
        unverified_subject_token=Secret(""),
        task_id=None,
        intent=supposition.intent,
        requested_duration=supposition.requested_duration,
        narrow=supposition.narrow,
    )
    return Case(ask, supposition.time, delegation=delegation)
