"""What is supposed of claims is what verifying a token with these claims gives: the same subject, agent and history."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.identity_world import AGENTS, issuers
from tests.profile_tokens import (
    GITHUB_TOKEN,
    GITPOD_V2_TOKEN,
    GITPOD_V3_TOKEN,
    GOOGLE_ID_TOKEN,
    changed,
    profile_settings,
)
from tests.svid_forge import COPILOT, svid
from tests.token_forge import ABSENT, AUDIENCE, NOON, NOW, HandClock, claims, forge, settings, trusted

from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.oidc import OidcVerifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.adapters.identity.supposing import SupposedDelegations
from remit_server.application.policy.deciding.simulate import Supposed
from remit_server.config.settings import AgentSettings, ClaimProfile, IssuerSettings
from remit_server.domain.errors import Denied, InvalidRequest, Reason, RemitError
from remit_server.domain.identity import Caller, Delegation
from remit_server.domain.secret import Secret

GITLAB_TOKEN = {
    "iss": "https://gitlab.example.com",
    "sub": "project_path:acme/shop/site:ref_type:branch:ref:main",
    "namespace_path": "acme/shop",
    "project_path": "acme/shop/site",
    "project_id": "20",
    "ref_protected": "true",
    "user_login": "sample-user",
}
GITLAB = settings(
    issuer="https://gitlab.example.com",
    alias="gitlab",
    profile=ClaimProfile.GITLAB_CI,
    carries_actor="project_path",
    source_claim="user_login",
)


async def live(configured: IssuerSettings, token: dict[str, Any]) -> Delegation:
    """Returns what a call with a signed token of these claims is taken for: by certificate, or by the one token."""
    clock = HandClock()
    known = [one for one in issuers() if one.alias != configured.alias]
    verifier = OidcVerifier([trusted(one, clock) for one in [configured, *known]], clock)
    spiffe = SpiffeVerifier(trust_domains={"example.org"}, clock=clock)
    text = Secret(forge(token))
    if configured.carries_actor is None:
        caller = Caller(peer="127.0.0.1", certificate_der=svid(COPILOT))
    else:
        caller = Caller(peer="127.0.0.1", unverified_bearer=text)
    actor = await ActorAuthentication(AGENTS, spiffe, verifier)(caller)
    return await DelegationVerification(AGENTS, verifier)(text, actor)


def supposed(configured: IssuerSettings, token: dict[str, Any], agent: str) -> Supposed:
    """Returns what is supposed of these claims."""
    known = [one for one in issuers() if one.alias != configured.alias]
    return SupposedDelegations([configured, *known], _agents(known))(json.dumps(token), agent, NOON)


def _agents(known: list[IssuerSettings]) -> list[AgentSettings]:
    """Returns the agents whose issuers are configured: a configuration with any other is refused."""
    issuers_known = {None, *(one.issuer for one in known)}
    return [agent for agent in AGENTS if agent.issuer in issuers_known]


def plain(delegation: Delegation) -> Delegation:
    """Leaves out what only a token or a certificate proves."""
    actor = replace(delegation.actor, certificate_thumbprint=None, token_fingerprint=None, token_issue_time=None)
    return replace(delegation, token_fingerprint="", actor=actor)


def current(token: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A vendor's documented token, as if it had been issued a minute ago for this gateway."""
    times = {"aud": AUDIENCE, "iat": NOW - 60, "exp": NOW + 600, "nbf": ABSENT}
    return changed(token, **{**times, **changes})


CASES: dict[str, tuple[IssuerSettings, dict[str, Any]]] = {
    "a user": (settings(), claims()),
    "a user who signed in well": (settings(), claims(acr="phr", amr=["hwk"], auth_time=NOW - 300)),
    "kept claims and mapped groups": (
        settings(kept_claims=("department",), group_map=(("analysts", "people-who-read"),)),
        claims(department="sales", groups=["analysts", "others"]),
    ),
    "a hashed identity": (settings(source_identity_hashed=True), claims()),
    "a bounded one": (settings(bind_expiry=True, single_use=True), claims()),
    "a history": (settings(), claims(act={"sub": COPILOT, "act": {"sub": "earlier"}})),
    "an unbound issuer": (settings(binding="none"), claims(azp=ABSENT)),
    "GitLab": (GITLAB, current(GITLAB_TOKEN)),
    "GitHub": (profile_settings(ClaimProfile.GITHUB_ACTIONS), current(GITHUB_TOKEN)),
    "Gitpod": (profile_settings(ClaimProfile.GITPOD), current(GITPOD_V3_TOKEN)),
    "Gitpod, version 2": (profile_settings(ClaimProfile.GITPOD, carries_actor="sub"), current(GITPOD_V2_TOKEN)),
    "Google": (
        profile_settings(ClaimProfile.GOOGLE, alias="idp"),
        current(GOOGLE_ID_TOKEN, azp="copilot"),
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_claims_are_taken_for_what_a_token_with_them_is(name: str) -> None:
    configured, token = CASES[name]
    real = await live(configured, token)

    found = supposed(configured, token, real.actor.actor_id)

    assert plain(found.delegation) == plain(real)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("configured", "token"),
    [
        (settings(), claims(aud="another")),
        (settings(), claims(groups="analysts")),
        (settings(), claims(sub="copilot")),
        (settings(single_use=True), claims(jti=ABSENT)),
        (settings(source_claim="email"), claims()),
        (settings(subjects=False, actors=True), claims()),
        (GITLAB, current(GITLAB_TOKEN, ref_protected="maybe")),
        (GITLAB, current(GITLAB_TOKEN, namespace_path="elsewhere")),
        (
            profile_settings(
                ClaimProfile.GITPOD, tenants=frozenset({"b" * 8 + GITPOD_V3_TOKEN["organization_id"][8:]})
            ),
            current(GITPOD_V3_TOKEN),
        ),
    ],
)
async def test_claims_that_get_a_token_refused_are_refused_for_the_same_reason(
    configured: IssuerSettings, token: dict[str, Any]
) -> None:
    with pytest.raises(RemitError) as real:
        await live(configured, token)
    with pytest.raises(Denied) as found:
        supposed(configured, token, "copilot")

    assert found.value.reason is Reason.SUBJECT_TOKEN_REJECTED
    assert found.value.message.partition("refused: ")[2] == _why(real.value.message)


def _why(message: str) -> str:
    """Returns why a live call was refused, whichever of the two had to do with the token first."""
    return message.partition(": ")[2]


@pytest.mark.parametrize("token", [claims(azp="another"), claims(azp=ABSENT), claims(cnf={"x5t#S256": "0" * 43})])
async def test_a_token_that_was_given_to_another_is_noted_where_a_live_call_is_refused(token: dict[str, Any]) -> None:
    with pytest.raises(Denied) as real:
        await live(settings(), token)

    (note,) = supposed(settings(), token, "copilot").notes

    assert real.value.reason is Reason.TOKEN_NOT_BOUND
    assert note.startswith("a live call would be refused, TOKEN_NOT_BOUND")


@pytest.mark.parametrize("text", ["[]", "3", "{", '{"iss": "x"}', '{"sub": "x"}', '{"iss": 1, "iss": 2, "sub": "x"}'])
def test_what_is_no_claims_is_no_supposition(text: str) -> None:
    with pytest.raises(InvalidRequest, match="claims"):
        SupposedDelegations([settings()], AGENTS)(text, "copilot", NOON)
