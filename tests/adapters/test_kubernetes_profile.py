"""Kubernetes' service account tokens: projected ones are an agent's proof, those of Secrets are nothing."""

from typing import Any

import pytest
from tests.identity_world import IdentityWorld, reason, refusal
from tests.profile_tokens import (
    KUBERNETES_LEGACY_TOKEN,
    KUBERNETES_TOKEN,
    changed,
    profile_settings,
    refused,
)
from tests.svid_forge import COPILOT
from tests.token_forge import ABSENT, NOW, HandClock, forge, settings, trusted, user_token

from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.oidc import OidcVerifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.settings import AgentSettings, ClaimProfile, IssuerSettings
from remit_server.domain.errors import Reason
from remit_server.domain.identity import ActorKind

CLUSTER = KUBERNETES_TOKEN["iss"]
SUBJECT = KUBERNETES_TOKEN["sub"]
PRIVATE = KUBERNETES_TOKEN["kubernetes.io"]


def _settings(**changes: Any) -> IssuerSettings:
    return profile_settings(ClaimProfile.KUBERNETES, **changes)


def _private(**changes: Any) -> dict[str, Any]:
    return changed(KUBERNETES_TOKEN, **{"kubernetes.io": changed(PRIVATE, **changes)})


def test_a_projected_token_is_read_as_documented() -> None:
    holder = read_holder(_settings(), KUBERNETES_TOKEN)

    assert holder.groups == ("system:serviceaccounts", "system:serviceaccounts:my-namespace")
    assert holder.kept == {"kubernetes.io": {name: PRIVATE[name] for name in PRIVATE if name != "warnafter"}}
    assert (holder.source_id, holder.email, holder.presenters, holder.is_client) == (SUBJECT, None, {}, False)
    assert holder.unaccounted == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"pod": ABSENT, "node": ABSENT, "warnafter": ABSENT},
        {"pod": ABSENT, "node": {"name": "my-node"}},
        {"pod": ABSENT, "node": ABSENT, "secret": {"name": "my-secret", "uid": "1"}},
    ],
    ids=["kubectl create token", "bound to a node", "bound to a Secret object"],
)
def test_tokens_bound_to_something_else_or_nothing_are_read_too(changes: dict[str, Any]) -> None:
    assert read_holder(_settings(), _private(**changes)).kept["kubernetes.io"]["namespace"] == "my-namespace"


def test_a_part_of_the_private_claims_that_is_not_known_is_dropped_and_named() -> None:
    holder = read_holder(_settings(kept_claims=("kubernetes.io",)), _private(future={"a": 1}))

    assert "future" not in holder.kept["kubernetes.io"]
    assert holder.unaccounted == ("kubernetes.io.future",)


def test_the_token_of_a_secret_is_refused_with_what_to_mount_instead() -> None:
    why = refused(_settings(), changed(KUBERNETES_TOKEN, **KUBERNETES_LEGACY_TOKEN))

    assert "`kubernetes.io/serviceaccount/...`" in why
    assert "projected" in why


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (changed(KUBERNETES_TOKEN, **{"kubernetes.io": ABSENT}), "kubernetes.io"),
        (changed(KUBERNETES_TOKEN, **{"kubernetes.io": [PRIVATE]}), "kubernetes.io"),
        (changed(KUBERNETES_TOKEN, **{"kubernetes.io": "my-namespace"}), "kubernetes.io"),
        (changed(KUBERNETES_TOKEN, sub="system:serviceaccount:kube-system:my-serviceaccount"), "sub"),
        (changed(KUBERNETES_TOKEN, sub="system:serviceaccount:my-namespace:mallory"), "sub"),
        (changed(KUBERNETES_TOKEN, sub="my-serviceaccount"), "sub"),
        (_private(namespace="other"), "sub"),
        (_private(namespace=ABSENT), "kubernetes.io.namespace"),
        (_private(namespace=["my-namespace"]), "kubernetes.io.namespace"),
        (_private(namespace="my-namespace:my"), "kubernetes.io.namespace"),
        (_private(namespace="My-Namespace"), "kubernetes.io.namespace"),
        (_private(serviceaccount=ABSENT), "kubernetes.io.serviceaccount"),
        (_private(serviceaccount="my-serviceaccount"), "kubernetes.io.serviceaccount"),
        (_private(serviceaccount={"name": "my-serviceaccount"}), "kubernetes.io.serviceaccount"),
        (_private(serviceaccount={"uid": "1"}), "kubernetes.io.serviceaccount"),
        (_private(serviceaccount={"name": "a:b", "uid": "1"}), "kubernetes.io.serviceaccount.name"),
        (_private(serviceaccount={"name": 7, "uid": "1"}), "kubernetes.io.serviceaccount.name"),
        (_private(serviceaccount={"name": "other", "uid": "1"}), "sub"),
        (_private(serviceaccount={**PRIVATE["serviceaccount"], "x": 1}), "kubernetes.io.serviceaccount"),
        (_private(pod={"name": "my-pod", "uid": 5}), "kubernetes.io.pod.uid"),
        (_private(pod=None), "kubernetes.io.pod"),
        (_private(node={"name": "a\nb"}), "kubernetes.io.node.name"),
        (_private(warnafter="tomorrow"), "warnafter"),
        (_private(warnafter=True), "warnafter"),
    ],
)
def test_a_missing_or_contradicting_claim_is_named(token: dict[str, Any], name: str) -> None:
    assert f"`{name}`" in refused(_settings(), token)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subjects": True, "actors": False}, "carries_actor"),
        ({"subjects": True}, "carries_actor"),
        ({"actors": False, "carries_actor": "jti"}, "carries_actor"),
        ({"tenants": frozenset({"my-namespace"})}, "tenants"),
        ({"source_claim": "email"}, "source_claim"),
    ],
)
def test_kubernetes_cannot_be_configured_wrong(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as wrong:
        _settings(**changes)

    assert field in dict(wrong.value.mistakes)


# --- the whole way ----------------------------------------------------------------------------------------------------


def _world(**cluster: Any) -> IdentityWorld:
    """People's tokens from one issuer, agents' own from the cluster."""
    clock = HandClock()
    agents = [
        AgentSettings(agent="reporter", issuer=CLUSTER, subject=SUBJECT, client_ids=frozenset({"idp:portal"})),
        AgentSettings(agent="copilot", spiffe_id=COPILOT, client_ids=frozenset({"idp:copilot"})),
    ]
    both = [trusted(settings(), clock), trusted(_settings(alias="k8s", audience="remit", **cluster), clock)]
    checked = OidcVerifier(both, clock)
    spiffe = SpiffeVerifier(trust_domains={"example.org"}, clock=clock)
    return IdentityWorld(clock, ActorAuthentication(agents, spiffe, checked), DelegationVerification(agents, checked))


def _token(**changes: Any) -> str:
    """A projected token as the API server signs it: an audience list, no `typ` in the header."""
    usual: dict[str, Any] = {"aud": ["remit"], "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 3540}
    token = changed(KUBERNETES_TOKEN, **{**usual, **changes})
    return forge(token, header={"typ": ABSENT})


async def test_a_service_account_is_an_agent_that_works_for_people() -> None:
    world = _world()

    actor = await world.by_token(_token())
    delegation = await world.delegate(user_token(azp="portal"), actor)

    assert (actor.actor_id, actor.kind, actor.agent) == (f"k8s:{SUBJECT}", ActorKind.OIDC, "reporter")
    assert actor.claims["kubernetes.io"]["pod"]["name"] == "my-pod"
    assert delegation.subject.subject == "alice"


async def test_a_service_account_that_no_entry_names_is_no_agent() -> None:
    other = {**PRIVATE, "serviceaccount": {"name": "other", "uid": "2"}}
    token = _token(sub="system:serviceaccount:my-namespace:other", **{"kubernetes.io": other})

    assert "[[agents]]" in (await refusal(_world().by_token(token))).message


async def test_a_token_for_the_api_server_or_of_a_year_is_no_agents_proof() -> None:
    world = _world()

    assert "audience" in (await refusal(world.by_token(_token(aud=["https://kubernetes.default.svc"])))).message
    assert "lifetime" in (await refusal(world.by_token(_token(exp=NOW + 365 * 86400)))).message


async def test_the_token_of_a_secret_is_no_agents_proof() -> None:
    legacy = forge({**KUBERNETES_LEGACY_TOKEN, "iss": CLUSTER}, header={"typ": ABSENT})

    assert await reason(_world().by_token(legacy)) is Reason.ACTOR_REJECTED


async def test_a_service_account_stands_for_nobody_but_where_its_one_token_proves_both() -> None:
    alone = _world(subjects=True, actors=False, carries_actor="sub")
    token = _token()

    assert await reason(_world().delegate(token)) is Reason.SUBJECT_TOKEN_REJECTED
    both = await alone.delegate(token, await alone.by_token(token))
    assert (both.actor.actor_id, both.subject.subject) == (f"k8s:{SUBJECT}", SUBJECT)
    assert both.subject.groups == ("system:serviceaccounts", "system:serviceaccounts:my-namespace")
