"""Whether a subject's token was given to this very actor (3-api.md, "Whose token may an agent present?")."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.identity.oidc import VerifiedToken
from remit_server.config.identity_rules import client_of, is_claim_name
from remit_server.config.settings import Binding
from remit_server.domain.identity import Actor, ActorKind

MAX_DELEGATION_DEPTH: Final = 8
_THUMBPRINT: Final = "x5t#S256"
_MAY_ACT_MEMBERS: Final = frozenset({"iss", "sub", "client_id"})
_ACT_MEMBERS: Final = _MAY_ACT_MEMBERS | {"act"}


class NotBound(Exception):  # noqa: N818 - named for what it says
    """The token was not given to this actor, or that cannot be told; `why` names the statement, never its value."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Bound:
    """The token's presenter is the actor; `history` are the `act` claims, outermost first (RFC 8693 4.1)."""

    history: tuple[str, ...]


def bind(token: VerifiedToken, actor: Actor) -> Bound:
    """Returns how the token is bound to the actor; raises NotBound.

    Every statement about the presenter must agree with the actor. At least one must be there, unless the issuer says
    `binding = "none"` or its one token proves both (the caller has checked that it is the same token).
    """
    statements = 0
    for name, client_id in token.holder.presenters.items():
        statements += 1
        if not _is_client(token, actor, client_id):
            raise NotBound(f"the token was given to another client (`{name}`): present tokens of this agent's clients")
    if "may_act" in token.claims:
        statements += 1
        _check_named(token, actor, "may_act", token.claims["may_act"], _MAY_ACT_MEMBERS)
    if "act" in token.claims:
        statements += 1
        _check_named(token, actor, "act", token.claims["act"], _ACT_MEMBERS)
    if "cnf" in token.claims:
        statements += 1
        _check_confirmation(actor, token.claims["cnf"])
    if not statements and token.issuer.binding is Binding.REQUIRED and token.issuer.carries_actor is None:
        raise NotBound("the token does not name its presenter (azp, client_id, may_act, act or cnf): have it issued so")
    return Bound(history=_history(token.claims.get("act")))


def _check_named(token: VerifiedToken, actor: Actor, name: str, value: Any, members: frozenset[str]) -> None:
    """Checks that `may_act` or the outermost `act` (RFC 8693 4.1, 4.4) names the actor, with members that are known."""
    if not isinstance(value, dict) or not value.keys() <= members or not value.keys() & {"sub", "client_id"}:
        raise NotBound(f"the claim `{name}` must be an object with `sub` or `client_id`, maybe `iss`, and nothing else")
    if "client_id" in value and not _is_client(token, actor, value["client_id"]):
        raise NotBound(f"the claim `{name}` names another client than this agent's")
    if "sub" in value and not _is_named(token, actor, value):
        raise NotBound(f"the claim `{name}` names another actor than this agent")


def _is_named(token: VerifiedToken, actor: Actor, named: Mapping[str, Any]) -> bool:
    """Says whether (`iss`, `sub`) is the actor; without `iss` the name is the token's issuer's own."""
    subject, issuer = named["sub"], named.get("iss")
    if actor.kind is ActorKind.SPIFFE and subject == actor.actor_id:
        return issuer is None or issuer == actor.issuer
    spoken_by = token.issuer.issuer if issuer is None else issuer
    # NOTE: an alias has no colon, so what follows the first one is the subject whatever it holds.
    own_subject = None if actor.kind is ActorKind.SPIFFE else actor.actor_id.partition(":")[2]
    if spoken_by == actor.issuer and subject == own_subject:
        return True
    return spoken_by == token.issuer.issuer and _is_client(token, actor, subject)


def _is_client(token: VerifiedToken, actor: Actor, client_id: Any) -> bool:
    """Says whether this is one of the clients, of the token's own issuer, whose user tokens the actor may present.

    NOTE: a client id means something only with whose it is: two issuers may each have a client `copilot`.
    """
    return isinstance(client_id, str) and client_of(token.issuer.alias, client_id) in actor.client_ids


def _check_confirmation(actor: Actor, value: Any) -> None:
    """Checks `cnf` (RFC 7800 3.1): only the thumbprint of the actor's own certificate can be checked (RFC 8705 3.1)."""
    if not isinstance(value, dict) or value.keys() != {_THUMBPRINT} or not isinstance(value[_THUMBPRINT], str):
        raise NotBound("the claim `cnf` has another member than `x5t#S256`, which this gateway cannot check")
    if actor.certificate_thumbprint is None:
        raise NotBound("the token is bound to a client certificate (`cnf`): call over mTLS with that certificate")
    if not hmac.compare_digest(value[_THUMBPRINT].encode(), actor.certificate_thumbprint.encode()):
        raise NotBound("the token is bound to another client certificate (`cnf`) than this agent's")


def _history(act: Any) -> tuple[str, ...]:
    """Returns the chain of actors, `<iss> <sub>` or `<sub>` each; the forms cannot be mixed up, neither has a space."""
    history: list[str] = []
    while act is not None:
        if not isinstance(act, dict) or len(history) == MAX_DELEGATION_DEPTH:
            raise NotBound(f"the claim `act` must nest objects, at most {MAX_DELEGATION_DEPTH} deep")
        named = [act[name] for name in ("iss", "sub" if "sub" in act else "client_id") if name in act]
        if not named or not all(isinstance(part, str) and is_claim_name(part) for part in named):
            raise NotBound("the claim `act` must name each actor by strings of printable ASCII without spaces")
        history.append(" ".join(named))
        act = act.get("act")
    return tuple(history)
