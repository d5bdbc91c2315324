"""Who is taken for whom: people, agents, issuers, accounts and ids that are alike, in both orders.

Each person's `sub` is new to the broker and the same at both providers, so that what is kept about the first is new
when the second comes, and warm for all that follows. The providers' keys have the same id, and the accounts' roles the
same name.
"""

import itertools
import uuid
from dataclasses import dataclass, replace

import pytest
from tests.attack.black_box.broker import (
    COPILOT,
    CRAWLER,
    HOME,
    HOME_ACCOUNT,
    HOME_ROLE,
    PARTNER,
    PARTNER_ACCOUNT,
    PARTNER_ROLE,
    THEIR_COPILOT,
    Agent,
    Ask,
    Broker,
    Given,
    Outcome,
    Refused,
    Scene,
    Why,
)
from tests.fake_sts import Request

SHARED = Ask(((("s3:GetObject",), ("arn:aws:s3:::reports/shared/*",)),))  # which both accounts' people may delegate
ROLES = {HOME: HOME_ROLE, PARTNER: PARTNER_ROLE}
NOBODY = "a" * 26


@dataclass(frozen=True)
class Party:
    """An agent that works for somebody; `person` tells apart people of one provider."""

    agent: Agent
    person: str

    def token(self, scene: Scene, sub: str, **claims: object) -> str:
        """Returns the person's token."""
        return scene.of_user(f"{sub}-{self.person}", self.agent, "", groups=["analysts"], **claims)


PARTIES = {
    "ours": Party(COPILOT, "pat"),
    "our other agent": Party(CRAWLER, "pat"),
    "our other person": Party(COPILOT, "kim"),
    "theirs": Party(THEIR_COPILOT, "pat"),
}
PAIRS = list(itertools.permutations(PARTIES, 2))
OF_TWO_AGENTS = [pair for pair in PAIRS if PARTIES[pair[0]].agent != PARTIES[pair[1]].agent]


@pytest.fixture
def sub() -> str:
    """A name that the broker has never heard."""
    return uuid.uuid4().hex[:12]


def given(broker: Broker, scene: Scene, party: Party, sub: str, **changes: str) -> tuple[Given, Request]:
    """Asks for what everybody may have; returns the answer and the one request that reached STS."""
    before = len(scene.sts_log())
    outcome = broker.exchange(party.agent, party.token(scene, sub), replace(SHARED, **changes))  # type: ignore[arg-type]
    assert isinstance(outcome, Given), outcome
    (request,) = scene.sts_log()[before:]
    return outcome, request


def why(outcome: Outcome) -> Why:
    """Returns the kind of a refusal."""
    assert isinstance(outcome, Refused), outcome
    return outcome.why


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_3_cve_2025_11621_the_same_question_of_two_parties_is_answered_for_each_by_its_own_account_and_name(
    broker: Broker, scene: Scene, sub: str, first: str, second: str
) -> None:
    parties = [PARTIES[name] for name in (first, second, first, second)]

    sessions = [given(broker, scene, party, sub)[1] for party in parties]

    assert [session.form["RoleArn"] for session in sessions] == [ROLES[party.agent.issuer] for party in parties]
    for one, other in itertools.combinations(range(4), 2):
        same_person = (parties[one].agent.issuer, parties[one].person) == (
            parties[other].agent.issuer,
            parties[other].person,
        )
        named = sessions[one].form["SourceIdentity"] == sessions[other].form["SourceIdentity"]
        assert named is same_person, (one, other)
        assert sessions[one].tags != sessions[other].tags


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_3_cve_2026_40264_what_one_party_has_is_not_there_for_another(
    broker: Broker, scene: Scene, sub: str, first: str, second: str
) -> None:
    one, other = PARTIES[first], PARTIES[second]
    mine, _ = given(broker, scene, one, sub)
    given(broker, scene, other, sub)
    token = other.token(scene, sub)
    nothing = replace(mine, task=NOBODY, grant=mine.grant.replace(mine.task, NOBODY))

    def tried(what: Given) -> list[Outcome]:
        return [
            broker.exchange(other.agent, token, replace(SHARED, task=what.task)),
            broker.preview(other.agent, token, replace(SHARED, task=what.task)),
            broker.renew(other.agent, token, what.grant),
            *([] if one.agent == other.agent else [broker.part(other.agent, what.grant, SHARED)]),
            *([] if one.agent == other.agent else [broker.end(other.agent, what.task)]),
        ]

    before = len(scene.sts_log())
    there, not_there = tried(mine), tried(nothing)

    assert {why(outcome) for outcome in there} == {Why.NOT_THERE}
    if one.agent != other.agent:  # which had the first task itself
        assert there == not_there  # to the letter: nobody learns what is there
    assert len(scene.sts_log()) == before
    assert isinstance(broker.renew(one.agent, one.token(scene, sub), mine.grant), Given)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_3_cve_2026_40264_one_request_id_of_two_parties_is_two_requests_or_a_refusal(
    broker: Broker, scene: Scene, sub: str, first: str, second: str
) -> None:
    one, other, request_id = PARTIES[first], PARTIES[second], str(uuid.uuid4())
    mine, _ = given(broker, scene, one, sub, request_id=request_id)

    if one.agent == other.agent:  # a request id is the agent's: for another person it is another request
        outcome = broker.exchange(other.agent, other.token(scene, sub), replace(SHARED, request_id=request_id))
        assert why(outcome) is Why.MALFORMED
    else:
        theirs, session = given(broker, scene, other, sub, request_id=request_id)
        assert (theirs.task, theirs.grant) != (mine.task, mine.grant)
        assert theirs.access_key_id != mine.access_key_id
        assert session.form["RoleArn"] == ROLES[other.agent.issuer]


@pytest.mark.parametrize(("first", "second"), OF_TWO_AGENTS)
def test_a3_a_token_that_was_verified_for_one_agent_is_still_not_the_others(
    broker: Broker, scene: Scene, sub: str, first: str, second: str
) -> None:
    one, other = PARTIES[first], PARTIES[second]
    stolen = one.token(scene, sub)
    honest = [broker.exchange(one.agent, stolen, SHARED) for _ in range(2)]

    before = len(scene.sts_log())
    outcomes = [broker.exchange(other.agent, stolen, SHARED), broker.preview(other.agent, stolen, SHARED)]

    assert all(isinstance(outcome, Given) for outcome in honest)
    assert {why(outcome) for outcome in outcomes} == {Why.NOT_BOUND}
    assert len(scene.sts_log()) == before
    assert isinstance(broker.exchange(one.agent, stolen, SHARED), Given)


@pytest.mark.parametrize(("claimed", "signer"), [(HOME, PARTNER), (PARTNER, HOME)])
def test_t1_one_key_id_at_two_providers_is_two_keys(
    broker: Broker, scene: Scene, sub: str, claimed: str, signer: str
) -> None:
    party = PARTIES["ours"] if claimed == HOME else PARTIES["theirs"]
    claims = {"sub": f"{sub}-pat", "azp": party.agent.name, "groups": ["analysts"], "iss": scene.issuers[claimed]}

    cold = broker.exchange(party.agent, scene.token(signer, claims), SHARED)
    given(broker, scene, party, sub)
    before = len(scene.sts_log())
    warm = broker.exchange(party.agent, scene.token(signer, claims), SHARED)

    assert why(cold) is why(warm) is Why.NOT_KNOWN
    assert len(scene.sts_log()) == before


@pytest.mark.parametrize("order", [(HOME, PARTNER), (PARTNER, HOME)], ids=["ours first", "theirs first"])
def test_a5_a_person_of_one_provider_gets_nothing_by_the_groups_of_the_other(
    broker: Broker, scene: Scene, sub: str, order: tuple[str, str]
) -> None:
    """Both providers have `engineers` and `security`; only ours count for our data and our operators."""
    orders = Ask(
        ((("dynamodb:GetItem",), (f"arn:aws:dynamodb:eu-central-1:{HOME_ACCOUNT}:table/orders",)),),
    )
    agents, outcomes = {HOME: COPILOT, PARTNER: THEIR_COPILOT}, {}
    for issuer in order * 2:
        token = scene.of_user(sub, agents[issuer], groups=["analysts", "engineers", "security"])
        outcomes[issuer] = broker.exchange(agents[issuer], token, orders)

    assert isinstance(outcomes[HOME], Given)
    assert why(outcomes[PARTNER]) is Why.BEYOND
    assert HOME_ACCOUNT not in outcomes[PARTNER].told.replace(orders.permissions[0][1][0], "")


def test_a5_no_session_of_one_account_is_ever_recorded_as_the_others(broker: Broker, scene: Scene, sub: str) -> None:
    for name in ("ours", "theirs", "ours"):
        given(broker, scene, PARTIES[name], sub)

    issued = [each for each in broker.audit() if each.given and each.user == f"{sub}-pat"]
    ours, theirs = (HOME_ACCOUNT, scene.issuers[HOME]), (PARTNER_ACCOUNT, scene.issuers[PARTNER])
    assert [(each.account, each.issuer) for each in issued] == [ours, theirs, ours]
    for each in issued:
        others = theirs if each.account == HOME_ACCOUNT else ours
        assert [word for word in others if word in each.told] == []


def test_a5_a_revoke_of_one_partys_task_leaves_the_others_twin_alive(broker: Broker, scene: Scene, sub: str) -> None:
    ours, theirs = (given(broker, scene, PARTIES[name], sub)[0] for name in ("ours", "theirs"))

    broker.revoke(ours.task)

    assert why(broker.renew(COPILOT, PARTIES["ours"].token(scene, sub), ours.grant)) is Why.OVER
    assert isinstance(broker.renew(THEIR_COPILOT, PARTIES["theirs"].token(scene, sub), theirs.grant), Given)


@pytest.mark.parametrize("single", ["ours", "theirs"])
def test_a4_one_jti_at_two_providers_is_two_tokens(broker: Broker, scene: Scene, sub: str, single: str) -> None:
    """Tokens may be used again here: the same jti at the other provider neither uses one up nor lets one in."""
    jti, other = sub, "theirs" if single == "ours" else "ours"

    outcomes = [
        broker.exchange(PARTIES[name].agent, PARTIES[name].token(scene, sub, jti=jti), SHARED)
        for name in (single, other, single, other)
    ]

    assert all(isinstance(outcome, Given) for outcome in outcomes)
