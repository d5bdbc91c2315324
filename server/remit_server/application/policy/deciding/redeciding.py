"""Decides again what was asked, or is only supposed: on any revision, along the very path that live calls take."""

import json
from dataclasses import dataclass

from remit_server.application.issuing.hearing import policy_denied
from remit_server.application.planning.circumstances import Circumstances
from remit_server.application.planning.deliberation import planned_as_live
from remit_server.application.planning.plan_session import Plan, Planner
from remit_server.application.policy.ports import Judge
from remit_server.domain.decision import Allow, Decision, DecisionInput, Deny, canonical_json, permission_json
from remit_server.domain.errors import Denied, InvalidRequest
from remit_server.domain.permission import Permission


@dataclass(frozen=True, slots=True)
class Redecided:
    """What a revision answers: what it was asked, what it said (None: it was never asked), and what came of that."""

    question: DecisionInput
    decision: Decision | None
    outcome: Plan | Denied | InvalidRequest


async def redecide(judge: Judge, planner: Planner, question: DecisionInput, circumstances: Circumstances) -> Redecided:
    """Returns what this revision makes of a question, its capabilities spelt out by this revision's own catalogue.

    The same bytes go in as in a live call, so the same bytes come out. Raises Outage where policy gives no decision,
    or names a role that the ceilings do not have. Planning may take up to a second: not for the event loop of agents.
    """
    try:
        permissions = circumstances.spelt_out(judge.revision.capabilities)
    except InvalidRequest as unknown:
        return Redecided(question, None, unknown)
    question = _asking_for(permissions, question)
    decision = await judge.decide(question)
    match decision:
        case Deny():
            return Redecided(question, decision, policy_denied(decision))
        case Allow():
            try:
                plan = planned_as_live(planner, circumstances.wish(permissions), decision)
            except Denied as denied:
                return Redecided(question, decision, denied)
            return Redecided(question, decision, plan)


def _asking_for(permissions: tuple[Permission, ...], question: DecisionInput) -> DecisionInput:
    """Returns the question with the intent spelt out so; the same one when it was."""
    asked = json.loads(question.text)
    spelt = [dict(permission_json(permission)) for permission in permissions]
    if asked["intent"]["permissions"] == spelt:
        return question
    asked["intent"]["permissions"] = spelt
    return DecisionInput(canonical_json(asked))
