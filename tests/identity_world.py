"""Two listeners' worth of identity: real verifiers on a real key set, wired as the gateway wires them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from tests.svid_forge import COPILOT, svid
from tests.token_forge import ABSENT, ISSUER, HandClock, claims, forge, settings, trusted

from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.oidc import OidcVerifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.config.settings import AgentSettings, IssuerSettings
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.identity import Actor, Caller, Delegation
from remit_server.domain.secret import Secret

AGENTS_ISSUER = "https://agents.example.com"
CI_ISSUER = "https://ci.example.com"
SCRIBE = "spiffe://example.org/agents/scribe"

AGENTS = (
    AgentSettings(agent="copilot", spiffe_id=COPILOT, client_ids=frozenset({"idp:copilot", "idp:copilot-web"})),
    AgentSettings(agent="scribe", spiffe_id=SCRIBE, client_ids=frozenset({"idp:scribe"})),
    AgentSettings(agent="robot", issuer=AGENTS_ISSUER, subject="robot", client_ids=frozenset({"idp:robot-app"})),
    AgentSettings(agent="insider", issuer=ISSUER, subject="insider", client_ids=frozenset({"idp:insider-app"})),
)


def issuers(**user_issuer: Any) -> tuple[IssuerSettings, ...]:
    """The users' issuer (with changes), the agents' own issuer, and one whose token carries the actor."""
    return (
        settings(**user_issuer),
        settings(issuer=AGENTS_ISSUER, alias="agents", subjects=False, actors=True, kept_claims=("team",)),
        settings(issuer=CI_ISSUER, alias="ci", carries_actor="project_path"),
    )


@dataclass
class IdentityWorld:
    """Authentication and delegation as one caller meets them."""

    clock: HandClock
    authenticate: ActorAuthentication
    verify_delegation: DelegationVerification

    async def by_certificate(self, spiffe_id: str = COPILOT, **changes: Any) -> Actor:
        return await self.authenticate(Caller(peer="127.0.0.1", certificate_der=svid(spiffe_id, **changes)))

    async def by_token(self, token: str) -> Actor:
        return await self.authenticate(Caller(peer="127.0.0.1", unverified_bearer=Secret(token)))

    async def delegate(self, token: str, actor: Actor | None = None) -> Delegation:
        return await self.verify_delegation(Secret(token), actor or await self.by_certificate())


def identity_world(*, agents: Sequence[AgentSettings] = AGENTS, **user_issuer: Any) -> IdentityWorld:
    clock = HandClock()
    verifier = OidcVerifier([trusted(issuer, clock) for issuer in issuers(**user_issuer)], clock)
    spiffe = SpiffeVerifier(trust_domains={"example.org"}, clock=clock)
    return IdentityWorld(clock, ActorAuthentication(agents, spiffe, verifier), DelegationVerification(agents, verifier))


def robot_token(**changes: Any) -> str:
    """An OIDC agent's own token."""
    return forge(_agent_claims(AGENTS_ISSUER, "robot", **changes))


def pipeline_token(**changes: Any) -> str:
    """A CI job's one token."""
    return forge(_agent_claims(CI_ISSUER, "job-7", **{"project_path": "acme/reports", **changes}))


def _agent_claims(issuer: str, subject: str, **changes: Any) -> dict[str, Any]:
    return claims(**{"iss": issuer, "sub": subject, "azp": ABSENT, "groups": ABSENT, **changes})


async def refusal(awaitable: Any) -> Denied:
    with pytest.raises(Denied) as denied:
        await awaitable
    return denied.value


async def reason(awaitable: Any) -> Reason:
    return (await refusal(awaitable)).reason
