"""Judges answers: a no counts only where it is the right one, and an outage never does."""

from collections.abc import Mapping
from typing import Final, assert_never

from remit_server.application.probing.values import (
    Answer,
    Check,
    Finding,
    Issued,
    NoAnswer,
    NotAsked,
    Outcome,
    PeopleAsked,
    Refused,
    Stage,
    TurnedAway,
)
from remit_server.domain.errors import Reason

# What every reason says about how far the request came. Those that are not here say nothing: an outage, a limit.
STAGES: Final[Mapping[str, Stage]] = {
    Reason.ACTOR_REJECTED: Stage.ACTOR,
    Reason.SUBJECT_TOKEN_REJECTED: Stage.SUBJECT,
    Reason.TOKEN_NOT_BOUND: Stage.BINDING,
    Reason.TOKEN_REPLAYED: Stage.BINDING,
    Reason.POLICY_DENIED: Stage.POLICY,
    Reason.INTENT_TOO_LARGE: Stage.POLICY,
    Reason.INTENT_SPANS_ROLES: Stage.POLICY,
    Reason.CEILING_EXCEEDED: Stage.CEILING,
    Reason.NEVER_ISSUABLE: Stage.CEILING,
    Reason.STS_UNAVAILABLE: Stage.STS,  # everything was granted by then
}


def judge(check: Check, answer: Answer) -> Finding:
    """Returns what an answer to a check comes to."""
    match answer:
        case Issued():
            return Finding(check, Outcome.ISSUED, "", f"credentials were issued; {_after(answer)}")
        case PeopleAsked():
            return Finding(check, Outcome.ACCEPTED, "", f"people were asked to approve it; {_after(answer)}")
        case Refused():
            return _refused(check, answer)
        case TurnedAway(told=told):
            right = check.stage is Stage.ACTOR
            return Finding(check, Outcome.REFUSED if right else Outcome.UNCLEAR, "", f"no connection: {told}")
        case NoAnswer(told=told):
            return Finding(check, Outcome.UNCLEAR, "", told)
        case NotAsked(told=told):
            return Finding(check, Outcome.SKIPPED, "", told)
        case _:
            assert_never(answer)


def _refused(check: Check, answer: Refused) -> Finding:
    """Returns what a no comes to: it must be the no of the stage that has to say it."""
    reached = STAGES.get(answer.reason)
    if reached is Stage.POLICY and check.stage is Stage.CEILING:
        told = f"{answer.told}; so the ceiling was not tried: give the probing user one small entitlement by its agent"
        return Finding(check, Outcome.UNCLEAR, answer.reason, told)
    if reached is None or reached < check.stage:
        told = f"{answer.told}; this proves nothing about what is probed"
        return Finding(check, Outcome.UNCLEAR, answer.reason, told)
    if reached > check.stage:
        told = f"what is wrong with this request was taken; it was stopped only by something else: {answer.told}"
        return Finding(check, Outcome.ACCEPTED, answer.reason, told)
    return Finding(check, Outcome.REFUSED, answer.reason, answer.told)


def _after(answer: Issued | PeopleAsked) -> str:
    """Tells what became of the task."""
    if answer.is_ended:
        return f"task {answer.task_id} was ended at once"
    return f"task {answer.task_id} COULD NOT BE ENDED: revoke it now (remit-server grants revoke)"
