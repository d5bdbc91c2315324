from typing import Any

import pytest
from tests.identity_world import (
    AGENTS,
    AGENTS_ISSUER,
    CI_ISSUER,
    SCRIBE,
    IdentityWorld,
    identity_world,
    pipeline_token,
    reason,
    refusal,
    robot_token,
)
from tests.svid_forge import COPILOT, svid
from tests.token_forge import ABSENT, ISSUER, HandClock, claims, forge, settings, thumbprint, trusted, user_token

from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.oidc import OidcVerifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.settings import AgentSettings, Binding
from remit_server.domain.errors import Reason, Remedy
from remit_server.domain.identity import Actor, ActorKind, Caller
from remit_server.domain.secret import Secret

CERTIFICATE = svid(COPILOT)
THUMBPRINT = thumbprint(CERTIFICATE)

# --- who calls ------------------------------------------------------------------------------------------------------


async def test_an_agent_is_known_by_its_svid() -> None:
    actor = await identity_world().by_certificate()

    assert (actor.actor_id, actor.kind, actor.issuer) == (COPILOT, ActorKind.SPIFFE, "spiffe://example.org")
    assert actor.agent == "copilot"
    assert actor.client_ids == {"idp:copilot", "idp:copilot-web"}
    assert actor.certificate_thumbprint is not None
    assert actor.token_fingerprint is None


async def test_an_agent_that_calls_with_another_certificate_is_known_by_that_one() -> None:
    world = identity_world()
    renewed = svid(COPILOT)

    actors = [
        await world.authenticate(Caller("127.0.0.1", certificate_der=certificate))
        for certificate in (CERTIFICATE, CERTIFICATE, renewed, CERTIFICATE)
    ]

    assert [actor.certificate_thumbprint for actor in actors] == [
        THUMBPRINT,
        THUMBPRINT,
        thumbprint(renewed),
        THUMBPRINT,
    ]


async def test_a_token_that_one_agent_has_presented_is_still_not_anothers() -> None:
    world = identity_world()
    token = user_token()
    await world.delegate(token, await world.by_certificate())

    denied = await refusal(world.delegate(token, await world.by_token(robot_token())))
    again = await world.delegate(token, await world.by_certificate())

    assert denied.reason is Reason.TOKEN_NOT_BOUND
    assert again.actor.actor_id == COPILOT


async def test_an_agent_is_known_by_its_own_token() -> None:
    token = robot_token(team="data")

    actor = await identity_world().by_token(token)

    assert (actor.actor_id, actor.kind, actor.issuer) == ("agents:robot", ActorKind.OIDC, AGENTS_ISSUER)
    assert actor.agent == "robot"
    assert actor.client_ids == {"idp:robot-app"}
    assert actor.claims == {"team": "data"}
    assert actor.token_fingerprint == Secret(token).fingerprint
    assert actor.token_issue_time is not None


async def test_a_workload_is_known_by_the_claim_that_carries_it() -> None:
    actor = await identity_world().by_token(pipeline_token())

    assert (actor.actor_id, actor.kind, actor.agent) == ("ci:acme/reports", ActorKind.WORKLOAD, None)
    assert actor.client_ids == frozenset()


async def test_a_workload_with_an_entry_may_present_its_clients_user_tokens() -> None:
    entry = AgentSettings(
        agent="ci-bot", issuer=CI_ISSUER, subject="acme/reports", client_ids=frozenset({"idp:portal"})
    )
    world = identity_world(agents=[*AGENTS, entry])
    actor = await world.by_token(pipeline_token())

    delegation = await world.delegate(user_token(azp="portal"), actor)

    assert delegation.actor.agent == "ci-bot"
    assert delegation.subject.subject == "alice"


NO_AGENTS_TOKENS = {
    "unknown agent": robot_token(sub="unknown"),
    "another audience": robot_token(aud="evil"),
    "a delegation": robot_token(act={"sub": "somebody"}),
    "bound to a DPoP key": robot_token(cnf={"jkt": "x"}),
    "bound to a certificate": robot_token(cnf={"x5t#S256": THUMBPRINT}),
    "bound to nothing known": pipeline_token(cnf={}),
    "no actor": pipeline_token(project_path=ABSENT),
    "empty actor": pipeline_token(project_path=""),
    "list of actors": pipeline_token(project_path=["acme/reports"]),
    "actor with a line break": pipeline_token(project_path="acme\nreports"),
    "a user's": user_token(),
    "empty": "",
    "garbage": "garbage",
}


@pytest.mark.parametrize("token", NO_AGENTS_TOKENS.values(), ids=NO_AGENTS_TOKENS.keys())
async def test_a_bearer_that_is_no_agents_own_token_is_refused(token: str) -> None:
    denied = await refusal(identity_world().by_token(token))

    assert denied.reason is Reason.ACTOR_REJECTED
    assert "not authenticated" in denied.message


async def test_a_users_token_is_no_agents_token_even_where_one_issuer_serves_both() -> None:
    world = identity_world(actors=True)

    assert await reason(world.by_token(user_token())) is Reason.ACTOR_REJECTED
    assert (await world.by_token(user_token(sub="insider"))).agent == "insider"


async def test_an_unknown_spiffe_id_is_refused() -> None:
    denied = await refusal(identity_world().by_certificate("spiffe://example.org/agents/stranger"))

    assert denied.reason is Reason.ACTOR_REJECTED
    assert "[[agents]]" in denied.message
    assert "stranger" not in denied.message


@pytest.mark.parametrize(
    "caller",
    [
        Caller(peer="127.0.0.1"),
        Caller(peer="127.0.0.1", certificate_der=svid(COPILOT), unverified_bearer=Secret(robot_token())),
    ],
    ids=["neither", "both"],
)
async def test_a_caller_brings_exactly_one_proof(caller: Caller) -> None:
    assert await reason(identity_world().authenticate(caller)) is Reason.ACTOR_REJECTED


@pytest.mark.parametrize(
    "twin",
    [
        AgentSettings(agent="other", spiffe_id=COPILOT),
        AgentSettings(agent="other", issuer=AGENTS_ISSUER, subject="robot"),
        AgentSettings(agent="copilot", spiffe_id="spiffe://example.org/another"),
    ],
)
def test_two_agents_never_prove_themselves_alike(twin: AgentSettings) -> None:
    with pytest.raises(ValueError, match="two agents"):
        identity_world(agents=[*AGENTS, twin])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"agent": ""}, "id"),
        ({}, "spiffe_id"),
        ({"spiffe_id": COPILOT, "issuer": ISSUER, "subject": "x"}, "spiffe_id"),
        ({"spiffe_id": "spiffe://Example.org/x"}, "spiffe_id"),
        ({"issuer": ISSUER}, "subject"),
        ({"subject": "x"}, "subject"),
        ({"issuer": ISSUER, "subject": "é"}, "subject"),
        ({"spiffe_id": COPILOT, "client_ids": frozenset({""})}, "client_ids"),
        ({"spiffe_id": COPILOT, "client_ids": frozenset({"copilot"})}, "client_ids"),
        ({"spiffe_id": COPILOT, "client_ids": frozenset({":copilot"})}, "client_ids"),
        ({"spiffe_id": COPILOT, "client_ids": frozenset({"idp:"})}, "client_ids"),
        ({"spiffe_id": COPILOT, "client_ids": frozenset({"spiffe:copilot"})}, "client_ids"),
    ],
)
def test_an_agent_cannot_be_configured_wrong(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        AgentSettings(**{"agent": "a", **wrong})

    assert field in dict(refused.value.mistakes)


# --- for whom -------------------------------------------------------------------------------------------------------


async def test_a_delegation_keeps_both_identities_apart() -> None:
    token = user_token()

    delegation = await identity_world().delegate(token)

    assert (delegation.subject.subject, delegation.subject.alias, delegation.subject.issuer) == ("alice", "idp", ISSUER)
    assert (delegation.subject.source_id, delegation.subject.groups) == ("alice", ("analysts",))
    assert delegation.actor.actor_id == COPILOT
    assert delegation.token_fingerprint == Secret(token).fingerprint
    assert (delegation.token_id, delegation.single_use, delegation.bind_expiry) == ("token-1", False, False)


async def test_what_the_issuer_says_of_its_tokens_reaches_the_delegation() -> None:
    delegation = await identity_world(single_use=True, bind_expiry=True).delegate(user_token())

    assert (delegation.single_use, delegation.bind_expiry) == (True, True)


@pytest.mark.parametrize(
    "statement",
    [
        {"azp": "copilot"},
        {"azp": "copilot-web"},
        {"client_id": "copilot"},
        {"azp": "copilot", "client_id": "copilot-web"},
        {"may_act": {"sub": COPILOT}},
        {"may_act": {"sub": COPILOT, "iss": "spiffe://example.org"}},
        {"may_act": {"sub": "copilot"}},
        {"may_act": {"sub": "copilot", "iss": ISSUER}},
        {"may_act": {"client_id": "copilot"}},
        {"act": {"sub": COPILOT}},
        {"act": {"sub": "copilot", "act": {"sub": "somebody-before"}}},
        {"cnf": {"x5t#S256": THUMBPRINT}},
        {"azp": "copilot", "may_act": {"sub": COPILOT}, "act": {"sub": COPILOT}, "cnf": {"x5t#S256": THUMBPRINT}},
    ],
)
async def test_one_agreeing_statement_binds_a_token(statement: dict[str, Any]) -> None:
    world = identity_world()
    actor = await world.authenticate(Caller(peer="127.0.0.1", certificate_der=CERTIFICATE))

    delegation = await world.delegate(user_token(**{"azp": ABSENT, **statement}), actor)

    assert delegation.subject.subject == "alice"


@pytest.mark.parametrize(
    "statement",
    [
        {"azp": "scribe"},
        {"azp": "COPILOT"},
        {"azp": "copilot", "client_id": "scribe"},
        {"azp": "scribe", "client_id": "copilot"},
        {"azp": "copilot", "may_act": {"sub": SCRIBE}},
        {"azp": "copilot", "may_act": {"sub": COPILOT, "iss": "spiffe://evil.example"}},
        {"azp": "copilot", "may_act": {"sub": "copilot", "iss": AGENTS_ISSUER}},
        {"azp": "copilot", "may_act": {"sub": COPILOT, "client_id": "scribe"}},
        {"azp": "copilot", "may_act": {"sub": COPILOT, "email": "x"}},
        {"azp": "copilot", "may_act": {"sub": [COPILOT]}},
        {"azp": "copilot", "may_act": {"iss": ISSUER}},
        {"azp": "copilot", "may_act": {}},
        {"azp": "copilot", "may_act": COPILOT},
        {"azp": "copilot", "may_act": [{"sub": COPILOT}]},
        {"azp": "copilot", "may_act": None},
        {"azp": "copilot", "may_act": {"sub": COPILOT, "act": {"sub": COPILOT}}},
        {"azp": "copilot", "act": {"sub": SCRIBE}},
        {"azp": "copilot", "act": {"sub": SCRIBE, "act": {"sub": COPILOT}}},
        {"azp": "copilot", "act": {"sub": COPILOT, "scope": "x"}},
        {"azp": "copilot", "act": None},
        {"azp": "copilot", "act": {"sub": COPILOT, "act": "scribe"}},
        {"azp": "copilot", "act": {"sub": COPILOT, "act": {"sub": "a b"}}},
        {"azp": "copilot", "act": {"sub": COPILOT, "act": {}}},
        {"azp": "copilot", "cnf": {"x5t#S256": "A" * 43}},
        {"azp": "copilot", "cnf": {"x5t#S256": THUMBPRINT + "="}},
        {"azp": "copilot", "cnf": {"x5t#S256": [THUMBPRINT]}},
        {"azp": "copilot", "cnf": {"jkt": "A" * 43}},
        {"azp": "copilot", "cnf": {"jwk": {}}},
        {"azp": "copilot", "cnf": {"kid": "k"}},
        {"azp": "copilot", "cnf": {"x5t#S256": THUMBPRINT, "jkt": "A" * 43}},
        {"azp": "copilot", "cnf": {"future": 1}},
        {"azp": "copilot", "cnf": {}},
        {"azp": "copilot", "cnf": "x"},
        {"azp": "copilot", "cnf": None},
        {"azp": ABSENT},
    ],
)
async def test_one_statement_that_disagrees_or_cannot_be_checked_unbinds_a_token(statement: dict[str, Any]) -> None:
    world = identity_world()
    actor = await world.authenticate(Caller(peer="127.0.0.1", certificate_der=CERTIFICATE))

    denied = await refusal(world.delegate(user_token(**statement), actor))

    assert denied.reason is Reason.TOKEN_NOT_BOUND
    assert denied.remedy is Remedy.GIVE_UP
    assert "scribe" not in denied.message


async def test_without_binding_a_token_needs_no_presenter_but_one_that_is_named_must_still_agree() -> None:
    world = identity_world(binding=Binding.NONE)

    assert (await world.delegate(user_token(azp=ABSENT))).subject.subject == "alice"
    assert await reason(world.delegate(user_token(azp="scribe"))) is Reason.TOKEN_NOT_BOUND


async def test_a_token_bound_to_a_certificate_is_worth_nothing_with_a_bearer_token() -> None:
    world = identity_world()
    robot = await world.by_token(robot_token())

    denied = await refusal(world.delegate(user_token(azp="robot-app", cnf={"x5t#S256": THUMBPRINT}), robot))

    assert denied.reason is Reason.TOKEN_NOT_BOUND
    assert "mTLS" in denied.message


@pytest.mark.parametrize(
    ("may_act", "accepted"),
    [
        ({"sub": "robot", "iss": AGENTS_ISSUER}, True),
        ({"sub": "robot-app"}, True),
        ({"sub": "robot"}, False),
        ({"sub": "robot", "iss": ISSUER}, False),
        ({"sub": "agents:robot"}, False),
        ({"sub": "robot-app", "iss": AGENTS_ISSUER}, False),
    ],
)
async def test_a_name_counts_only_with_whose_name_it_is(may_act: dict[str, Any], accepted: bool) -> None:
    world = identity_world()
    robot = await world.by_token(robot_token())
    token = user_token(azp=ABSENT, may_act=may_act)

    if accepted:
        assert (await world.delegate(token, robot)).actor.agent == "robot"
    else:
        assert await reason(world.delegate(token, robot)) is Reason.TOKEN_NOT_BOUND


async def test_nested_actors_are_history_outermost_first() -> None:
    act = {"sub": COPILOT, "act": {"iss": AGENTS_ISSUER, "sub": "robot", "act": {"client_id": "portal"}}}

    delegation = await identity_world().delegate(user_token(act=act))

    assert delegation.history == (COPILOT, f"{AGENTS_ISSUER} robot", "portal")


@pytest.mark.parametrize(("depth", "accepted"), [(8, True), (9, False)])
async def test_the_depth_of_a_delegation_is_bounded(depth: int, accepted: bool) -> None:
    act: dict[str, Any] = {"sub": COPILOT}
    for _ in range(depth - 1):
        act = {"sub": COPILOT, "act": act}

    if accepted:
        assert len((await identity_world().delegate(user_token(act=act))).history) == depth
    else:
        assert await reason(identity_world().delegate(user_token(act=act))) is Reason.TOKEN_NOT_BOUND


# --- a client id means something only with whose it is ---------------------------------------------------------------

PARTNER_ISSUER = "https://partner.example.com"


def _two_issuers_world(*client_ids: str) -> IdentityWorld:
    """An agent with these clients, and two users' issuers that each have a client `copilot`."""
    clock = HandClock()
    agents = [AgentSettings(agent="copilot", spiffe_id=COPILOT, client_ids=frozenset(client_ids))]
    both = [trusted(settings(), clock), trusted(settings(issuer=PARTNER_ISSUER, alias="partner"), clock)]
    checked = OidcVerifier(both, clock)
    spiffe = SpiffeVerifier(trust_domains={"example.org"}, clock=clock)
    return IdentityWorld(clock, ActorAuthentication(agents, spiffe, checked), DelegationVerification(agents, checked))


@pytest.mark.parametrize(
    "statement",
    [
        {"azp": "copilot"},
        {"client_id": "copilot"},
        {"may_act": {"client_id": "copilot"}},
        {"may_act": {"sub": "copilot"}},
        {"act": {"sub": "copilot"}},
    ],
)
async def test_a_client_of_one_issuer_is_not_the_client_of_that_name_at_another(statement: dict[str, Any]) -> None:
    world = _two_issuers_world("idp:copilot")
    own = user_token(**{"azp": ABSENT, **statement})
    partners = user_token(**{"azp": ABSENT, **statement, "iss": PARTNER_ISSUER})

    assert (await world.delegate(own)).subject.alias == "idp"
    assert await reason(world.delegate(partners)) is Reason.TOKEN_NOT_BOUND


async def test_an_agent_may_have_clients_at_several_issuers() -> None:
    world = _two_issuers_world("idp:copilot", "partner:copilot")

    assert (await world.delegate(user_token(iss=PARTNER_ISSUER, azp="copilot"))).subject.alias == "partner"


async def test_a_client_id_with_a_colon_does_not_reach_into_another_issuers_names() -> None:
    world = _two_issuers_world("idp:partner:copilot")

    assert (await world.delegate(user_token(azp="partner:copilot"))).subject.alias == "idp"
    assert await reason(world.delegate(user_token(iss=PARTNER_ISSUER, azp="copilot"))) is Reason.TOKEN_NOT_BOUND


# --- whose token is a subject token ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        robot_token(azp="copilot"),
        user_token(sub="copilot"),
        user_token(sub="insider", azp="copilot"),
        user_token(aud="evil"),
        "garbage",
    ],
    ids=["issuer of agents only", "a client's own", "an agent's own", "another audience", "garbage"],
)
async def test_a_token_without_a_user_behind_it_is_no_subject_token(token: str) -> None:
    assert await reason(identity_world().delegate(token)) is Reason.SUBJECT_TOKEN_REJECTED


async def test_one_token_is_never_both_actor_and_subject() -> None:
    world = identity_world(actors=True)
    token = user_token(sub="insider", azp="insider-app")
    actor = await world.by_token(token)

    assert await reason(world.delegate(token, actor)) is Reason.SUBJECT_TOKEN_REJECTED


async def test_the_same_token_is_refused_as_both_even_for_someone_who_is_no_agent() -> None:
    token = user_token(azp="copilot")
    world = identity_world()
    actor = Actor(
        actor_id="idp:alice",
        kind=ActorKind.OIDC,
        issuer=ISSUER,
        client_ids=frozenset({"idp:copilot"}),
        token_fingerprint=Secret(token).fingerprint,
    )

    denied = await refusal(world.delegate(token, actor))

    assert denied.reason is Reason.SUBJECT_TOKEN_REJECTED
    assert "both" in denied.message


async def test_an_issuer_that_carries_the_actor_proves_both_with_one_token() -> None:
    world, token = identity_world(), pipeline_token()
    actor = await world.by_token(token)

    delegation = await world.delegate(token, actor)

    assert delegation.actor.actor_id == "ci:acme/reports"
    assert (delegation.subject.alias, delegation.subject.subject) == ("ci", "job-7")


async def test_another_token_of_that_issuer_is_not_this_actors() -> None:
    world = identity_world()
    actor = await world.by_token(pipeline_token())

    assert await reason(world.delegate(pipeline_token(jti="other"), actor)) is Reason.TOKEN_NOT_BOUND
    assert await reason(world.delegate(pipeline_token())) is Reason.TOKEN_NOT_BOUND


async def test_a_carried_token_that_names_another_presenter_is_refused() -> None:
    world, token = identity_world(), pipeline_token(azp="portal")
    actor = await world.by_token(token)

    assert await reason(world.delegate(token, actor)) is Reason.TOKEN_NOT_BOUND


async def test_a_single_use_token_without_an_id_is_refused() -> None:
    denied = await refusal(identity_world(single_use=True).delegate(user_token(jti=ABSENT)))

    assert denied.reason is Reason.SUBJECT_TOKEN_REJECTED
    assert "`jti`" in denied.message


async def test_a_user_who_cannot_be_named_to_aws_is_refused() -> None:
    denied = await refusal(identity_world(source_claim="employee_id").delegate(user_token()))

    assert denied.reason is Reason.SUBJECT_TOKEN_REJECTED
    assert "`employee_id`" in denied.message


async def test_an_expired_token_is_to_be_fetched_anew() -> None:
    world = identity_world()
    actor = await world.by_certificate()
    world.clock.advance(minutes=11)

    denied = await refusal(world.delegate(user_token(), actor))

    assert denied.remedy is Remedy.REAUTHENTICATE


async def test_refusals_repeat_nothing_that_the_token_says() -> None:
    marked = forge(claims(sub="marker-sub", azp="marker-azp", groups=["marker-group"], jti="marker-jti"))

    denied = await refusal(identity_world().delegate(marked))

    assert "marker" not in denied.message
    assert not any(part in denied.message for part in marked.split("."))
