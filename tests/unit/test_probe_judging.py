"""What answers to the prober come to: only the right no is good news."""

import pytest

from remit_server.application.probing.checks import CHECKS, FLOOR, FORGED, IMPOSTOR, NO_PROOF, UNBOUND, WIDE
from remit_server.application.probing.judging import STAGES, judge
from remit_server.application.probing.values import (
    Check,
    Finding,
    Issued,
    NoAnswer,
    NotAsked,
    Outcome,
    PeopleAsked,
    Refused,
    Round,
    TurnedAway,
)
from remit_server.domain.errors import Reason

SILENT = sorted(set(Reason) - set(STAGES))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_credentials_are_an_alarm_whatever_was_wrong(check: Check) -> None:
    finding = judge(check, Issued("t1", is_ended=True))

    assert (finding.outcome, finding.outcome.is_alarm) == (Outcome.ISSUED, True)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_asking_people_about_it_is_an_alarm(check: Check) -> None:
    assert judge(check, PeopleAsked("t1", is_ended=True)).outcome.is_alarm


def test_a_task_that_could_not_be_ended_is_told_loudly() -> None:
    assert "task t1 COULD NOT BE ENDED: revoke it now" in judge(WIDE, Issued("t1", is_ended=False)).told


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("reason", Reason)
def test_a_no_counts_at_its_own_stage_and_is_an_alarm_after_it(check: Check, reason: Reason) -> None:
    outcome = judge(check, Refused(reason.value, "no")).outcome

    stage = STAGES.get(reason)
    if stage is None or stage < check.stage:
        assert outcome is Outcome.UNCLEAR
    else:
        assert outcome is (Outcome.REFUSED if stage == check.stage else Outcome.ACCEPTED)


@pytest.mark.parametrize("reason", [*SILENT, "UNAVAILABLE", "DEADLINE_EXCEEDED", "SOMETHING_NEW", ""])
def test_an_outage_a_limit_and_what_nobody_knows_prove_nothing(reason: str) -> None:
    assert judge(FORGED, Refused(reason, "busy")).outcome is Outcome.UNCLEAR


def test_a_forged_token_that_policy_refused_had_been_believed() -> None:
    assert judge(FORGED, Refused("POLICY_DENIED", "no entitlement")).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("check", [WIDE, FLOOR], ids=lambda check: check.name)
def test_a_no_of_policy_is_no_proof_that_the_ceiling_would_have_said_it(check: Check) -> None:
    finding = judge(check, Refused("POLICY_DENIED", "no entitlement"))

    assert finding.outcome is Outcome.UNCLEAR
    assert "give the probing user one small entitlement" in finding.told


def test_a_connection_that_was_not_taken_refuses_the_agent_and_proves_nothing_else() -> None:
    answer = TurnedAway("closed")

    outcomes = [judge(check, answer).outcome for check in (NO_PROOF, IMPOSTOR, UNBOUND, FORGED, WIDE)]

    assert outcomes == [Outcome.REFUSED, Outcome.REFUSED, *[Outcome.UNCLEAR] * 3]


def found(*outcomes: Outcome, control: str = "") -> Round:
    return Round(tuple(Finding(FORGED, outcome, "", "") for outcome in outcomes), control)


def test_a_round_is_conclusive_only_when_all_that_was_asked_proves_something() -> None:
    assert found(Outcome.REFUSED, Outcome.SKIPPED).is_conclusive
    assert not found(Outcome.REFUSED, Outcome.UNCLEAR).is_conclusive
    assert not found(Outcome.REFUSED, control="SUBJECT_TOKEN_REJECTED").is_conclusive


def test_no_answer_and_nothing_to_ask_with_are_told_apart() -> None:
    assert judge(FORGED, NoAnswer("away")).outcome is Outcome.UNCLEAR
    assert judge(FORGED, NotAsked("no token")).outcome is Outcome.SKIPPED
