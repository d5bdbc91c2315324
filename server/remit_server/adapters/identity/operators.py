"""Proves who calls the security side: by a token that was made for operators, or by a workload's certificate."""

from collections.abc import Sequence
from dataclasses import replace

from remit_server.adapters.identity.authentication import NO_BEARER
from remit_server.adapters.identity.oidc import OidcVerifier, TrustedIssuer, VerifiedToken
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.application.ports import Clock
from remit_server.config.identity_rules import client_of
from remit_server.config.settings import AgentSettings
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.identity import Caller
from remit_server.domain.operator import SPIFFE_ALIAS, Operator, OperatorKind
from remit_server.domain.secret import Secret


def operators_verifier(issuers: Sequence[TrustedIssuer], clock: Clock) -> OidcVerifier:
    """Returns the verifier of operators' tokens: of those issuers that have an audience for them, and of no other.

    It is the verifier that agents' and users' tokens go through, with the other audience; they share no cache.
    """
    return OidcVerifier(
        [
            replace(trusted, settings=replace(trusted.settings, audience=trusted.settings.operator_audience))
            for trusted in issuers
            if trusted.settings.operator_audience is not None
        ],
        clock,
    )


class _IsAgent(Exception):  # noqa: N818 - never leaves this module
    """Whoever calls is an agent of the configuration."""


class OperatorAuthentication:
    """Authenticates operators (the port `AuthenticateOperator`); an agent of the configuration is never one.

    Neither is a token that an agent's own client was given, whatever its audience.
    """

    def __init__(self, agents: Sequence[AgentSettings], spiffe: SpiffeVerifier, verifier: OidcVerifier) -> None:
        self._agents = frozenset((agent.issuer, agent.subject) for agent in agents if agent.issuer is not None)
        self._agents_spiffe_ids = frozenset(agent.spiffe_id for agent in agents if agent.spiffe_id is not None)
        self._agents_clients = frozenset(client for agent in agents for client in agent.client_ids)
        self._spiffe = spiffe
        self._verifier = verifier

    async def __call__(self, caller: Caller, /) -> Operator:
        """Returns the operator.

        Raises Denied(ACTOR_REJECTED), Denied(NOT_AUTHORIZED) for an agent, Outage(ISSUER_UNAVAILABLE).
        """
        try:
            return await self._operator(caller)
        except _IsAgent:
            message = "this identity or client is an agent's, and agents may not call this: use an operator's own token"
            raise Denied(Reason.NOT_AUTHORIZED, message) from None
        except TokenRefused as refused:
            raise Denied(
                Reason.ACTOR_REJECTED, f"the caller is not authenticated: {refused.why}", Refusal(refused.remedy)
            ) from refused

    async def _operator(self, caller: Caller) -> Operator:
        """Returns the operator by the one proof that the caller brought; raises TokenRefused and _IsAgent."""
        match caller:
            case Caller(certificate_der=bytes() as certificate_der, unverified_bearer=None):
                return self._from_certificate(certificate_der, caller.peer)
            case Caller(certificate_der=None, unverified_bearer=Secret() as unverified_bearer):
                return self._from_token(await self._verifier.verify(unverified_bearer), caller.peer)
            case Caller(certificate_der=None, unverified_bearer=None):
                raise TokenRefused(NO_BEARER)
            case _:
                raise TokenRefused("send either a client certificate or one bearer token, and not both")

    def _from_certificate(self, certificate_der: bytes, peer: str) -> Operator:
        """Returns the workload that the SVID names."""
        svid = self._spiffe.verify(certificate_der)
        if svid.spiffe_id.text in self._agents_spiffe_ids:
            raise _IsAgent
        return Operator(
            issuer=f"spiffe://{svid.spiffe_id.trust_domain}",
            alias=SPIFFE_ALIAS,
            subject=svid.spiffe_id.text,
            kind=OperatorKind.WORKLOAD,
            peer=peer,
        )

    def _from_token(self, token: VerifiedToken, peer: str) -> Operator:
        """Returns the person, or the workload, that the token names."""
        self._check_no_agent(token)
        if "cnf" in token.claims:
            raise TokenRefused(
                "the token is bound to a key (`cnf`) that this listener cannot check: use one that is not bound",
                remedy=Remedy.REAUTHENTICATE,
            )
        if "act" in token.claims:
            raise TokenRefused("somebody acts in another's name by it (`act`): operators call in person")
        settings, holder = token.issuer, token.holder
        is_workload = settings.carries_actor is not None or holder.is_client
        return Operator(
            issuer=settings.issuer,
            alias=settings.alias,
            subject=token.subject,
            kind=OperatorKind.WORKLOAD if is_workload else OperatorKind.PERSON,
            peer=peer,
            groups=holder.groups,
            email=holder.email,
            auth_time=holder.auth_time,
            acr=holder.acr,
            amr=holder.amr,
            token_issue_time=token.issue_time,
            token_fingerprint=token.fingerprint,
            claims=holder.kept,
        )

    def _check_no_agent(self, token: VerifiedToken) -> None:
        """Raises _IsAgent for an agent's own token, and for a person's that an agent's client was given."""
        issuer = token.issuer
        names = [token.subject]
        if issuer.carries_actor is not None:
            names.append(str(token.claims.get(issuer.carries_actor)))
        if any((issuer.issuer, name) in self._agents for name in names):
            raise _IsAgent
        if any(client_of(issuer.alias, client) in self._agents_clients for client in token.holder.presenters.values()):
            raise _IsAgent
