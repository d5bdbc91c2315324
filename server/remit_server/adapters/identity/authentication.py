"""Proves who calls: by the SVID of a mutual TLS connection, or by the agent's own bearer token."""

from collections.abc import Mapping, Sequence
from typing import Final

from remit_server.adapters.identity.oidc import OidcVerifier, VerifiedToken
from remit_server.adapters.identity.spiffe import SpiffeVerifier, Svid
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_rules import is_plain_text
from remit_server.config.settings import AgentSettings
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.identity import Actor, ActorKind, Caller
from remit_server.domain.secret import Secret
from remit_server.domain.spiffe_id import SpiffeId

NO_BEARER: Final = (
    "no bearer token came, which is what this port takes: send one, or show a certificate at the port for certificates "
    "(mutual TLS), which is another"
)


class ActorAuthentication:
    """Authenticates agents (the port `Authenticate`); whoever is not known by configuration is refused.

    Only an issuer that carries the actor can vouch for one without an `[[agents]]` entry.
    Raises ValueError when two agents prove themselves in the same way.
    """

    def __init__(self, agents: Sequence[AgentSettings], spiffe: SpiffeVerifier, verifier: OidcVerifier) -> None:
        self._by_spiffe_id = {agent.spiffe_id: agent for agent in agents if agent.spiffe_id is not None}
        self._by_subject = agents_by_subject(agents)
        names = {agent.agent for agent in agents}
        if not len(names) == len(agents) == len(self._by_spiffe_id) + len(self._by_subject):
            raise ValueError("two agents have the same id, the same SPIFFE ID, or the same issuer and subject")
        self._spiffe = spiffe
        self._latest: dict[str, tuple[Svid, Actor]] = {}  # of each agent's SPIFFE ID, the SVID it came with last
        self._verifier = verifier

    async def __call__(self, caller: Caller, /) -> Actor:
        """Returns the actor.

        Raises Denied(ACTOR_REJECTED), or Outage(ISSUER_UNAVAILABLE) when the keys of its issuer cannot be had.
        """
        try:
            return await self._actor(caller)
        except TokenRefused as refused:
            raise Denied(
                Reason.ACTOR_REJECTED, f"the agent is not authenticated: {refused.why}", Refusal(remedy=refused.remedy)
            ) from refused

    async def _actor(self, caller: Caller) -> Actor:
        """Returns the actor by the one proof that the caller brought; raises TokenRefused."""
        match caller:
            case Caller(certificate_der=bytes() as certificate_der, unverified_bearer=None):
                return self._from_certificate(certificate_der)
            case Caller(certificate_der=None, unverified_bearer=Secret() as unverified_bearer):
                return self._from_token(await self._verifier.verify(unverified_bearer))
            case Caller(certificate_der=None, unverified_bearer=None):
                raise TokenRefused(NO_BEARER)
            case _:
                raise TokenRefused("send either a client certificate or one bearer token, and not both")

    def _from_certificate(self, certificate_der: bytes) -> Actor:
        """Returns the agent that the SVID names."""
        svid = self._spiffe.verify(certificate_der)
        latest = self._latest.get(svid.spiffe_id.text)
        if latest is not None and latest[0] is svid:
            return latest[1]
        agent = self._by_spiffe_id.get(svid.spiffe_id.text)
        if agent is None:
            raise TokenRefused("no [[agents]] entry has the SPIFFE ID of this certificate; have it added")
        actor = workload_of(agent, svid.spiffe_id, svid)
        self._latest[svid.spiffe_id.text] = svid, actor
        return actor

    def _from_token(self, verified: VerifiedToken) -> Actor:
        """Returns the agent that the token names."""
        return bearer_of(verified, self._by_subject)


def agents_by_subject(agents: Sequence[AgentSettings]) -> Mapping[tuple[str, str], AgentSettings]:
    """Returns the agents that prove themselves by a token of their own, by its issuer and subject."""
    return {(one.issuer, one.subject): one for one in agents if one.issuer is not None and one.subject is not None}


def bearer_of(verified: VerifiedToken, agents: Mapping[tuple[str, str], AgentSettings]) -> Actor:
    """Returns the agent that a token names; `agents` are those that are known by (issuer, subject).

    Raises TokenRefused for a token that is no agent's own.
    """
    _check_own_token(verified)
    if verified.issuer.carries_actor is not None:
        subject = _carried_actor(verified, verified.issuer.carries_actor)
        kind = ActorKind.WORKLOAD
    elif verified.issuer.actors:
        subject, kind = verified.subject, ActorKind.OIDC
    else:
        raise TokenRefused("tokens of this issuer are not accepted as an agent's own; do not send a user's token")
    agent = agents.get((verified.issuer.issuer, subject))
    if agent is None and kind is not ActorKind.WORKLOAD:
        raise TokenRefused("no [[agents]] entry has the issuer and subject of this token; have it added")
    return Actor(
        actor_id=f"{verified.issuer.alias}:{subject}",
        kind=kind,
        issuer=verified.issuer.issuer,
        agent=agent.agent if agent else None,
        client_ids=agent.client_ids if agent else frozenset(),
        claims=verified.holder.kept,
        token_fingerprint=verified.fingerprint,
        token_issue_time=verified.issue_time,
    )


def workload_of(agent: AgentSettings, spiffe_id: SpiffeId, svid: Svid | None = None) -> Actor:
    """Returns an agent that proves itself by a certificate, as policies know it; with `svid`, by this very one."""
    return Actor(
        actor_id=spiffe_id.text,
        kind=ActorKind.SPIFFE,
        issuer=f"spiffe://{spiffe_id.trust_domain}",
        agent=agent.agent,
        client_ids=agent.client_ids,
        certificate_thumbprint=svid.thumbprint if svid else None,
        token_issue_time=svid.issue_time if svid else None,
    )


def _check_own_token(verified: VerifiedToken) -> None:
    """Refuses tokens that only somebody else may present, or only with a proof that a bearer does not bring."""
    if "cnf" in verified.claims:
        raise TokenRefused(
            "the token is bound to a key (`cnf`) that this listener cannot check: use the mTLS listener with an SVID, "
            "or a token that is not bound",
            remedy=Remedy.REAUTHENTICATE,
        )
    if "act" in verified.claims and verified.issuer.carries_actor is None:
        raise TokenRefused("the token is itself a delegation (`act`); an agent authenticates with a token of its own")


def _carried_actor(verified: VerifiedToken, claim: str) -> str:
    """Returns the value of the claim by which the issuer's one token names the actor."""
    value = verified.claims.get(claim)
    if not isinstance(value, str) or not is_plain_text(value):
        raise TokenRefused(f"the claim `{claim}`, which names the actor, must be 1 to 255 printable ASCII characters")
    return value
