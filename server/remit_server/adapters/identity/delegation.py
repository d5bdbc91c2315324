"""Proves for whom an actor works: the subject's token, verified, and given to this actor."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

from remit_server.adapters.identity.authentication import agents_by_subject
from remit_server.adapters.identity.binding import Bound, NotBound, bind
from remit_server.adapters.identity.oidc import OidcVerifier, VerifiedToken
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.settings import AgentSettings
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy
from remit_server.domain.identity import Actor, Delegation, Principal
from remit_server.domain.secret import Secret

MAX_REMEMBERED: Final = 1024


class DelegationVerification:
    """Verifies delegations (the port `VerifyDelegation`): two identities, both proven, neither for the other."""

    def __init__(self, agents: Sequence[AgentSettings], verifier: OidcVerifier) -> None:
        self._agents = agents_by_subject(agents).keys()
        self._verifier = verifier
        self._latest: OrderedDict[str, tuple[VerifiedToken, Actor, Delegation]] = OrderedDict()

    async def __call__(self, unverified_subject_token: Secret, actor: Actor, /) -> Delegation:
        """Returns the delegation.

        Raises Denied(SUBJECT_TOKEN_REJECTED) when the token is not a user's proper token, Denied(TOKEN_NOT_BOUND) when
        it was not given to this actor, and Outage(ISSUER_UNAVAILABLE) when the keys of its issuer cannot be had.
        """
        try:
            token = await self._verifier.verify(unverified_subject_token)
            return self._delegation(token, actor)
        except TokenRefused as refused:
            raise Denied(
                Reason.SUBJECT_TOKEN_REJECTED, f"the subject token is refused: {refused.why}", Refusal(refused.remedy)
            ) from refused
        except NotBound as refused:
            raise Denied(
                Reason.TOKEN_NOT_BOUND, f"the subject token is not this agent's to present: {refused.why}", _GIVE_UP
            ) from refused

    def _delegation(self, token: VerifiedToken, actor: Actor) -> Delegation:
        """Returns what the token and the actor amount to; raises TokenRefused or NotBound.

        NOTE: what is remembered was made of this very token and this very actor, and rests on nothing else: neither on
        the time nor on what their names are. What was refused is looked at anew each time.
        """
        latest = self._latest.get(token.fingerprint)
        if latest is not None and latest[0] is token and latest[1] is actor:
            return latest[2]
        subject = subject_of(token, self._agents)
        _check_one_or_two_tokens(token, actor)
        delegation = delegation_of(token, subject, actor, bind(token, actor))
        self._latest[token.fingerprint] = token, actor, delegation
        if len(self._latest) > MAX_REMEMBERED:
            self._latest.popitem(last=False)
        return delegation

    def accepts_offline(self, issuer: str) -> bool:
        """Says whether users of this issuer may still be acted for while they are not there (`AcceptsSubjects`).

        Not where its tokens bound how long credentials work, or prove the actor as well.
        """
        settings = self._verifier.settings_of(issuer)
        return (
            settings is not None and settings.subjects and not settings.bind_expiry and settings.carries_actor is None
        )


def subject_of(token: VerifiedToken, agents: Collection[tuple[str, str]]) -> Principal:
    """Returns the person (or pipeline) that the token is about.

    Raises TokenRefused for tokens that no person stands behind: `agents` are the (issuer, subject) of agents.
    """
    settings, holder = token.issuer, token.holder
    if not settings.subjects:
        raise TokenRefused("tokens of this issuer are not accepted as subject tokens")
    is_agent = (settings.issuer, token.subject) in agents and settings.carries_actor is None
    if holder.is_client or is_agent:
        raise TokenRefused("it names no user: it is a client's or an agent's own token; send the user's token")
    if settings.single_use and holder.token_id is None:
        raise TokenRefused("its issuer's tokens are for one task each, but this one has no id (`jti`) to know it by")
    if holder.source_id is None:
        raise TokenRefused(
            f"it lacks the claim `{settings.source_claim}`, which names its user to AWS, or does not vouch for it"
        )
    return Principal(
        issuer=settings.issuer,
        alias=settings.alias,
        subject=token.subject,
        source_id="" if settings.source_identity_hashed else holder.source_id,
        groups=holder.groups,
        email=holder.email,
        auth_time=holder.auth_time,
        acr=holder.acr,
        amr=holder.amr,
        claims=holder.kept,
    )


def _check_one_or_two_tokens(token: VerifiedToken, actor: Actor) -> None:
    """Checks that one token proves both identities where its issuer says so, and nowhere else."""
    same = token.fingerprint == actor.token_fingerprint
    if token.issuer.carries_actor is not None and not same:
        raise NotBound("a token of this issuer names its own actor: send it as the bearer token, too")
    if token.issuer.carries_actor is None and same:
        raise TokenRefused("it is the agent's own token; one token never proves both who works and for whom")


def delegation_of(token: VerifiedToken, subject: Principal, actor: Actor, bound: Bound) -> Delegation:
    """Returns the delegation that these amount to."""
    return Delegation(
        subject=subject,
        actor=actor,
        token_fingerprint=token.fingerprint,
        token_issue_time=token.issue_time,
        token_expire_time=token.expire_time,
        token_id=token.holder.token_id,
        single_use=token.issuer.single_use,
        bind_expiry=token.issuer.bind_expiry,
        history=bound.history,
    )


_GIVE_UP = Refusal(remedy=Remedy.GIVE_UP)
