"""What one vendor's tokens say, claim by claim, and the readers that several vendors share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.adapters.identity.claim_values import list_claim, optional_email
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.settings import IssuerSettings

MAX_GROUPS: Final = 1000
MAX_GROUP_CHARACTERS: Final = 512  # GitLab's namespaces nest up to 20 deep

# Checked by the verifier and the binding rules, for every profile (RFC 7519 4.1, RFC 8693 4, RFC 7800 3.1).
REGISTERED: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "act", "may_act", "cnf"})
# OpenID Connect Core 1.0 2 and 5.1, RFC 9068 2.2: what any issuer may say beside, known and of no use here.
COMMON_DROPPED: Final = frozenset(
    {"nonce", "at_hash", "c_hash", "s_hash", "sid", "scope", "name", "given_name", "family_name", "middle_name"}
    | {"nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale"}
    | {"phone_number", "phone_number_verified", "address", "updated_at", "roles", "entitlements"}
)


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """What a verified token says of its subject beyond the registered claims.

    `source_id` is None when the configured claim is missing: an agent's own token need not name a person.
    `presenters` are the client ids it names as its presenter, by the claim's name. `is_client` says that the token was
    given to a client for itself, so that nobody is behind it. `unaccounted` are names of dropped claims, for the log.
    """

    token_id: str | None
    source_id: str | None
    groups: tuple[str, ...]
    email: str | None
    auth_time: int | None
    acr: str | None
    amr: tuple[str, ...]
    presenters: Mapping[str, str]
    is_client: bool
    kept: Mapping[str, Any] = field(repr=False)
    unaccounted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Claims that a profile makes anew for policies out of what it checked, and names of parts it does not know."""

    kept: Mapping[str, Any] = field(repr=False)
    unaccounted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One vendor's shapes: what must fit, which claims name the presenter, which are kept, which known and dropped.

    `check` raises TokenRefused with the name of the claim that is missing or wrong. `rebuild` makes claims that are not
    kept as they stand; they take the place of those of their name.
    """

    check: Callable[[IssuerSettings, Mapping[str, Any]], None]
    groups: Callable[[IssuerSettings, Mapping[str, Any]], tuple[str, ...]]
    email: Callable[[Mapping[str, Any]], str | None] | None
    is_client: Callable[[Mapping[str, Any], Mapping[str, str]], bool]
    token_id: str = "jti"  # noqa: S105 - a claim's name
    presenters: tuple[str, ...] = ("azp", "client_id")
    kept: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    dropped_prefixes: tuple[str, ...] = ()
    rebuild: Callable[[Mapping[str, Any]], Rebuilt] | None = None


def groups_listed(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the groups that stand in the configured claim; refuses tokens that say they stand elsewhere."""
    if settings.group_claim in claims_elsewhere(claims):
        raise TokenRefused(
            f"the token does not carry its groups, only where to ask for them (`_claim_names`): have the issuer send "
            f"fewer groups in `{settings.group_claim}`"
        )
    return list_claim(claims, settings.group_claim, longest=MAX_GROUPS, characters=MAX_GROUP_CHARACTERS)


def claims_elsewhere(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the names of claims that the token does not carry itself (OpenID Connect Core 1.0 5.6.2)."""
    elsewhere = claims.get("_claim_names", {})
    if not isinstance(elsewhere, dict):
        raise TokenRefused("the claim `_claim_names` must be an object")
    return elsewhere


def verified_email(claims: Mapping[str, Any]) -> str | None:
    """Returns the email address unless the issuer says that it did not verify it (OpenID Connect Core 1.0 5.1)."""
    address = optional_email(claims)
    return address if claims.get("email_verified", True) is True else None


def client_is_subject(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says whether the token is a client's own: RFC 9068 2.2 has `sub` name the client then, as Okta does."""
    return claims["sub"] in presenters.values()


def no_check(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Asks nothing beyond the registered claims."""
    del settings, claims


def never_client(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says no: the subject is the workload itself, whose one token proves both."""
    del claims, presenters
    return False
