"""Who is an operator: never an agent, nor by a token that agents hold or that was given to an agent's client."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from tests.identity_world import AGENTS, AGENTS_ISSUER, CI_ISSUER
from tests.svid_forge import COPILOT, svid
from tests.token_forge import ABSENT, AUDIENCE, ISSUER, NOON, HandClock, claims, forge, settings, trusted

from remit_server.adapters.identity.operators import OperatorAuthentication, operators_verifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.domain.errors import Denied, Reason, Remedy
from remit_server.domain.identity import Caller
from remit_server.domain.operator import Operator, OperatorKind
from remit_server.domain.secret import Secret

OPERATORS = "remit-operators"
PEER = "192.0.2.7"


def authentication(clock: HandClock) -> OperatorAuthentication:
    issuers = [
        settings(operator_audience=OPERATORS, kept_claims=("department",)),
        settings(issuer=AGENTS_ISSUER, alias="agents", subjects=False, actors=True),
        settings(issuer=CI_ISSUER, alias="ci", carries_actor="project_path", operator_audience=OPERATORS),
    ]
    verifier = operators_verifier([trusted(issuer, clock) for issuer in issuers], clock)
    return OperatorAuthentication(AGENTS, SpiffeVerifier(trust_domains={"example.org"}, clock=clock), verifier)


@dataclass
class Door:
    """The operators' door as one caller meets it."""

    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.authenticate = authentication(self.clock)

    async def by_token(self, token: str) -> Operator:
        return await self.authenticate(Caller(peer=PEER, unverified_bearer=Secret(token)))

    async def by_certificate(self, spiffe_id: str) -> Operator:
        return await self.authenticate(Caller(peer=PEER, certificate_der=svid(spiffe_id)))


@pytest.fixture
def door() -> Door:
    return Door()


def operators_token(**changes: Any) -> str:
    return forge(claims(**{"aud": OPERATORS, "sub": "olga", "azp": "remit-cli", **changes}))


def ci_token(**changes: Any) -> str:
    made = {"iss": CI_ISSUER, "aud": OPERATORS, "sub": "job-7", "project_path": "acme/policies", "azp": ABSENT}
    return forge(claims(**{**made, "groups": ABSENT, **changes}))


async def refusal(awaitable: Any) -> Denied:
    with pytest.raises(Denied) as denied:
        await awaitable
    return denied.value


async def test_a_person_is_known_by_a_token_for_operators(door: Door) -> None:
    operator = await door.by_token(operators_token(groups=["security"], auth_time=1, department="sec"))

    assert operator.name == "idp:olga"
    assert (operator.issuer, operator.kind, operator.groups) == (ISSUER, OperatorKind.PERSON, ("security",))
    assert (operator.peer, operator.auth_time, operator.token_issue_time) == (PEER, 1, NOON - timedelta(minutes=1))
    assert operator.claims == {"department": "sec"}


async def test_a_pipeline_is_a_workload(door: Door) -> None:
    operator = await door.by_token(ci_token())

    assert (operator.name, operator.kind) == ("ci:job-7", OperatorKind.WORKLOAD)


async def test_a_clients_own_token_is_a_workloads(door: Door) -> None:
    operator = await door.by_token(operators_token(sub="soar", azp="soar"))

    assert operator.kind is OperatorKind.WORKLOAD


async def test_a_certificate_is_a_workloads_and_has_no_groups(door: Door) -> None:
    operator = await door.by_certificate("spiffe://example.org/ops/responder")

    assert operator.name == "spiffe://example.org/ops/responder"
    assert (operator.issuer, operator.kind, operator.groups) == ("spiffe://example.org", OperatorKind.WORKLOAD, ())


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (forge(claims(sub="olga", azp="remit-cli")), "for another audience"),
        (forge(claims(sub="olga", azp="remit-cli", aud=[OPERATORS, AUDIENCE])), "`aud`"),
        (operators_token(iss=AGENTS_ISSUER), "not one that this gateway is configured to trust"),
        (operators_token(act={"sub": "copilot"}), "acts in another's name"),
        (operators_token(cnf={"jkt": "x"}), "bound to a key"),
        (operators_token(exp=int(NOON.timestamp()) - 60, iat=int(NOON.timestamp()) - 120), "has expired"),
        ("not.a.token", ""),
    ],
    ids=["agents-audience", "both-audiences", "issuer-without-operators", "delegated", "key-bound", "expired", "none"],
)
async def test_whoever_does_not_prove_to_be_an_operator_is_not_authenticated(door: Door, token: str, why: str) -> None:
    denied = await refusal(door.by_token(token))

    assert denied.reason is Reason.ACTOR_REJECTED
    assert why in denied.message


@pytest.mark.parametrize(
    "token",
    [
        operators_token(sub="insider"),
        operators_token(azp="copilot"),
        operators_token(azp="remit-cli", client_id="scribe"),
    ],
    ids=["agents-subject", "agents-client", "agents-client-beside-another"],
)
async def test_an_agent_is_never_an_operator_whatever_the_audience(door: Door, token: str) -> None:
    assert (await refusal(door.by_token(token))).reason is Reason.NOT_AUTHORIZED


async def test_an_agents_certificate_is_never_an_operators(door: Door) -> None:
    assert (await refusal(door.by_certificate(COPILOT))).reason is Reason.NOT_AUTHORIZED


async def test_a_certificate_and_a_token_together_are_refused(door: Door) -> None:
    both = Caller(PEER, svid("spiffe://example.org/ops/responder"), Secret(operators_token()))

    assert (await refusal(door.authenticate(both))).reason is Reason.ACTOR_REJECTED


async def test_nobody_is_refused_with_what_to_bring(door: Door) -> None:
    denied = await refusal(door.authenticate(Caller(PEER)))

    assert "no bearer token came" in denied.message
    assert "or show a certificate at the port for certificates (mutual TLS)" in denied.message


async def test_an_expired_token_asks_for_a_new_sign_in(door: Door) -> None:
    token = operators_token()
    await door.by_token(token)
    door.clock.advance(hours=2)

    assert (await refusal(door.by_token(token))).remedy is Remedy.REAUTHENTICATE
