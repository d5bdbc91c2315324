"""Reads claims that are only supposed as a token of their issuer would be read: all of it but what a token proves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

from remit_server.adapters.identity.authentication import agents_by_subject, bearer_of, workload_of
from remit_server.adapters.identity.binding import Bound, NotBound, bind
from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.adapters.identity.delegation import delegation_of, subject_of
from remit_server.adapters.identity.oidc import VerifiedToken
from remit_server.adapters.identity.token_parsing import (
    MAX_TOKEN_CHARACTERS,
    TokenRefused,
    bounded_json,
    date_claim,
    one_audience,
    plain_claim,
)
from remit_server.adapters.strict_json import MalformedJson
from remit_server.application.policy.deciding.simulate import Supposed
from remit_server.config.settings import AgentSettings, IssuerSettings
from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest, Reason, Refusal, Remedy
from remit_server.domain.identity import Actor, ActorKind
from remit_server.domain.spiffe_id import spiffe_id_of

_MOST_NAMED: Final = 5
_TOKEN: Final = re.compile(r"\s*[\"']?(?:[Bb]earer\s+)?[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*[\"']?\s*")


class SupposedDelegations:
    """Implements the port `Suppose` on the issuers and agents of a configuration."""

    def __init__(self, issuers: Sequence[IssuerSettings], agents: Sequence[AgentSettings]) -> None:
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._agents = agents
        self._by_subject = agents_by_subject(agents)

    def __call__(self, claims: str, agent: str, now: datetime, /) -> Supposed:
        """Returns the delegation; see the port for what it raises."""
        read = _claims_in(claims)
        try:
            token = self._token(read, now)
            subject = subject_of(token, self._by_subject.keys())
            actor = self._actor(agent, token)
        except TokenRefused as refused:
            message = f"a token with these claims is refused: {refused.why}"
            raise Denied(Reason.SUBJECT_TOKEN_REJECTED, message, Refusal(refused.remedy)) from refused
        notes = [*_times(read, token, now), *_own_claims(actor)]
        bound = Bound(())
        try:
            bound = bind(token, actor)
        except NotBound as wrong:
            notes.append(f"a live call would be refused, TOKEN_NOT_BOUND: {wrong.why}")
        return Supposed(delegation_of(token, subject, actor, bound), tuple(notes))

    def _token(self, claims: Mapping[str, Any], now: datetime) -> VerifiedToken:
        """Returns what verifying a token with these claims would give; times that it lacks are supposed."""
        settings = self._issuers.get(plain_claim(claims, "iss"))
        if settings is None:
            known = f"there are {', '.join(sorted(self._issuers))}"
            raise TokenRefused(f"the token's issuer is not one that this gateway is configured to trust: {known}")
        if "aud" in claims and one_audience(claims) != settings.audience:
            raise TokenRefused("the token was made for another audience; ask its issuer for one for this gateway")
        longest = settings.max_lifetime.total_seconds()
        issued = date_claim(claims, "iat") if "iat" in claims else now.timestamp()
        expires = date_claim(claims, "exp") if "exp" in claims else max(issued, now.timestamp()) + longest
        return VerifiedToken(
            issuer=settings,
            subject=plain_claim(claims, "sub"),
            holder=read_holder(settings, claims),
            issue_time=datetime.fromtimestamp(issued, UTC),
            expire_time=datetime.fromtimestamp(expires, UTC),
            fingerprint="",
            claims=claims,
        )

    def _actor(self, name: str, token: VerifiedToken) -> Actor:
        """Returns the agent of this id or name; of a token that carries its actor, that one."""
        if token.issuer.carries_actor is not None:
            carried = bearer_of(token, self._by_subject)
            if name not in {carried.actor_id, carried.agent}:
                message = f"the claims carry their own agent, {carried.actor_id}: name that one"
                raise Denied(Reason.TOKEN_NOT_BOUND, message, Refusal(Remedy.GIVE_UP))
            return carried
        actors = (self._known(agent) for agent in self._agents)
        found = next((actor for actor in actors if name in {actor.agent, actor.actor_id}), None)
        if found is None:
            rule = "is no agent of this configuration: give an id under [[agents]], or the name that policies know"
            raise InvalidRequest([FieldViolation("agent", f"{rule}; {_meant(name, self._agents)}")])
        return found

    def _known(self, agent: AgentSettings) -> Actor:
        """Returns an agent of the configuration as it is once it is authenticated."""
        if agent.spiffe_id is not None:
            return workload_of(agent, spiffe_id_of(agent.spiffe_id))
        issuer = self._issuers[str(agent.issuer)]
        kind = ActorKind.OIDC if issuer.carries_actor is None else ActorKind.WORKLOAD
        return Actor(
            actor_id=f"{issuer.alias}:{agent.subject}",
            kind=kind,
            issuer=issuer.issuer,
            agent=agent.agent,
            client_ids=agent.client_ids,
        )


def _meant(name: str, agents: Sequence[AgentSettings]) -> str:
    """Returns the id that may have been meant, or some that there are."""
    known = sorted(agent.agent for agent in agents)
    near = get_close_matches(name, known, n=1)
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known[:_MOST_NAMED])}{more}"


def _claims_in(text: str) -> Mapping[str, Any]:
    """Returns the claims; raises InvalidRequest, above all for a token, and never repeats any of it."""
    if _TOKEN.fullmatch(text):
        # NOTE: a token that lies in a file, or went over another connection than its own, can be used by who finds it.
        rule = "is a token, not its claims: give the JSON of its middle part, and throw the token away"
        raise InvalidRequest([FieldViolation("claims", rule)])
    try:
        claims = bounded_json(text, max_characters=MAX_TOKEN_CHARACTERS)
    except MalformedJson as wrong:
        place = f" (line {wrong.line})" if wrong.line else ""
        raise InvalidRequest([FieldViolation("claims", f"is no strict JSON: {wrong}{place}")]) from None
    if not isinstance(claims, dict):
        raise InvalidRequest([FieldViolation("claims", "must be a JSON object, such as a token's claims")])
    for name in ("iss", "sub"):
        if name not in claims:
            raise InvalidRequest([FieldViolation(f"claims.{name}", "must be there: who says so, and of whom")])
    return claims


def _times(claims: Mapping[str, Any], token: VerifiedToken, now: datetime) -> Iterator[str]:
    """Yields what of the token's times a live call would not take."""
    leeway = token.issuer.leeway
    if "exp" in claims and now >= token.expire_time + leeway:
        yield f"a live call would be refused: the token expired at {token.expire_time:%Y-%m-%dT%H:%M:%SZ} (`exp`)"
    if "iat" in claims and token.issue_time > now + leeway:
        yield f"a live call would be refused: the token is issued at {token.issue_time:%Y-%m-%dT%H:%M:%SZ} only (`iat`)"


def _own_claims(actor: Actor) -> Iterator[str]:
    """Yields what is not known of the agent."""
    if actor.kind is ActorKind.OIDC:
        yield "of the agent's own token nothing is supposed: `actor.claims` is empty in the input"
