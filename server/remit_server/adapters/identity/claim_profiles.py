"""Reads what a verified token says of its holder, in the shapes that each vendor documents.

Every claim is accounted for: checked before (`REGISTERED`), read here, kept for policies, or known and dropped on
purpose. What a profile has never heard of is dropped too, and named in `unaccounted` for the operator's log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.adapters.identity.claim_values import (
    flag_claim,
    kept_value,
    list_claim,
    optional_email,
    optional_seconds,
    optional_text,
    text_claim,
)
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_rules import entra_tenant
from remit_server.config.settings import ClaimProfile, IssuerSettings

MAX_GROUPS: Final = 1000
MAX_GROUP_CHARACTERS: Final = 512  # GitLab's namespaces nest up to 20 deep

# Checked by the verifier and the binding rules, for every profile (RFC 7519 4.1, RFC 8693 4, RFC 7800 3.1).
REGISTERED: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "act", "may_act", "cnf"})
# OpenID Connect Core 1.0 2 and 5.1, RFC 9068 2.2: what any issuer may say beside, known and of no use here.
_COMMON_DROPPED: Final = frozenset(
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
class _Profile:
    """One vendor's shapes: which claims name the presenter, which are kept, which are known and dropped."""

    check: Callable[[IssuerSettings, Mapping[str, Any]], None]
    groups: Callable[[IssuerSettings, Mapping[str, Any]], tuple[str, ...]]
    email: Callable[[Mapping[str, Any]], str | None] | None
    is_client: Callable[[Mapping[str, Any], Mapping[str, str]], bool]
    token_id: str = "jti"  # noqa: S105 - a claim's name
    presenters: tuple[str, ...] = ("azp", "client_id")
    kept: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()


def read_holder(settings: IssuerSettings, claims: Mapping[str, Any]) -> TokenHolder:
    """Returns what a token's claims say of its holder; raises TokenRefused when one has not its documented shape."""
    profile = _PROFILES[settings.profile]
    profile.check(settings, claims)
    presenters = {name: text_claim(claims, name) for name in profile.presenters if name in claims}
    kept = profile.kept | frozenset(settings.kept_claims)
    return TokenHolder(
        token_id=optional_text(claims, profile.token_id),
        source_id=_source_id(settings, profile, claims),
        groups=_mapped(settings, profile.groups(settings, claims)),
        email=profile.email(claims) if profile.email else None,
        auth_time=optional_seconds(claims, "auth_time"),
        acr=optional_text(claims, "acr"),
        amr=list_claim(claims, "amr", longest=32, characters=64),
        presenters=presenters,
        is_client=profile.is_client(claims, presenters),
        kept={name: kept_value(claims, name) for name in sorted(kept & claims.keys())},
        unaccounted=_unaccounted(settings, profile, claims),
    )


def _source_id(settings: IssuerSettings, profile: _Profile, claims: Mapping[str, Any]) -> str | None:
    """Returns the claim that names the person to AWS.

    NOTE: an address counts only where its issuer vouches for it: CloudTrail and trust policies would name another's.
    """
    if settings.source_claim == "email" and (profile.email is None or profile.email(claims) is None):
        return None
    return optional_text(claims, settings.source_claim)


def _unaccounted(settings: IssuerSettings, profile: _Profile, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of claims that neither the profile nor the configuration knows."""
    read = {"auth_time", "acr", "amr", "email", "email_verified", profile.token_id, *profile.presenters}
    configured = {settings.group_claim, settings.source_claim, settings.carries_actor, *settings.kept_claims}
    known = REGISTERED | read | configured | profile.kept | profile.dropped | _COMMON_DROPPED
    return tuple(sorted(claims.keys() - known))


def _mapped(settings: IssuerSettings, groups: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the policy's names of the groups, in their order, each once."""
    if settings.group_map:
        names = dict(settings.group_map)
        groups = tuple(names[group] for group in groups if group in names)
    return tuple(dict.fromkeys(groups))


def _groups_listed(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the groups that stand in the configured claim; refuses tokens that say they stand elsewhere."""
    if settings.group_claim in _claims_elsewhere(claims):
        raise TokenRefused(
            f"the token does not carry its groups, only where to ask for them (`_claim_names`): have the issuer send "
            f"fewer groups in `{settings.group_claim}`"
        )
    return list_claim(claims, settings.group_claim, longest=MAX_GROUPS, characters=MAX_GROUP_CHARACTERS)


def _claims_elsewhere(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the names of claims that the token does not carry itself (OpenID Connect Core 1.0 5.6.2)."""
    elsewhere = claims.get("_claim_names", {})
    if not isinstance(elsewhere, dict):
        raise TokenRefused("the claim `_claim_names` must be an object")
    return elsewhere


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    """Returns the email address unless the issuer says that it did not verify it (OpenID Connect Core 1.0 5.1)."""
    address = optional_email(claims)
    return address if claims.get("email_verified", True) is True else None


def _client_is_subject(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says whether the token is a client's own: RFC 9068 2.2 has `sub` name the client then, as Okta does."""
    return claims["sub"] in presenters.values()


def _no_check(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Asks nothing beyond the registered claims."""
    del settings, claims


# --- Okta: https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/ --------------------------------


def _is_okta_service(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says whether the token is a service's own: an access token (it has `cid`) names a user's id in `uid`."""
    return ("cid" in claims and "uid" not in claims) or _client_is_subject(claims, presenters)


_OKTA = _Profile(
    check=_no_check,
    groups=_groups_listed,
    email=_verified_email,
    is_client=_is_okta_service,
    presenters=("azp", "client_id", "cid"),
    dropped=frozenset({"ver", "uid", "scp", "idp"}),
)


# --- Entra ID, v2.0 tokens: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference -----


def _check_entra(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts v2.0 tokens of the one tenant that the issuer names."""
    if text_claim(claims, "ver") != "2.0":
        raise TokenRefused("the token is no v2.0 token: set accessTokenAcceptedVersion to 2 in the app's manifest")
    if text_claim(claims, "tid") != entra_tenant(settings.issuer):
        raise TokenRefused("the claim `tid` is not the tenant that the issuer names")


def _entra_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the groups' object ids; refuses the three forms in which Entra ID says that there are too many."""
    said = "hasgroups" in claims or any(name.startswith("groups:") for name in claims)
    if (said or "groups" in _claims_elsewhere(claims)) and settings.group_claim == "groups":
        raise TokenRefused(
            "the user is in more groups than Entra ID puts into a token (groups overage): assign the groups to the "
            "application and send only those (groupMembershipClaims: ApplicationGroup), or set group_claim to `roles`"
        )
    return _groups_listed(settings, claims)


def _entra_email(claims: Mapping[str, Any]) -> str | None:
    """Returns the email address only when Entra ID vouches for its domain: users can set it to anybody's otherwise."""
    address = optional_email(claims)
    return address if claims.get("xms_edov") is True else None


def _is_entra_app(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says whether the token is an application's own: `idtyp` says so, and `oid` equals `sub` only there."""
    app_only = claims.get("idtyp", "user") != "user" or claims.get("oid") == claims["sub"]
    return app_only or _client_is_subject(claims, presenters)


_ENTRA = _Profile(
    check=_check_entra,
    groups=_entra_groups,
    email=_entra_email,
    is_client=_is_entra_app,
    token_id="uti",  # noqa: S106 - a claim's name: "equivalent to jti"
    presenters=("azp", "appid", "client_id"),
    dropped=frozenset(
        {"ver", "tid", "oid", "aio", "rh", "uti", "azpacr", "appidacr", "scp", "wids", "idp", "idtyp", "xms_edov"}
        | {
            "acrs",
            "xms_cc",
            "xms_ftd",
            "xms_idrel",
            "xms_st",
            "login_hint",
            "upn",
            "ipaddr",
            "onprem_sid",
            "unique_name",
        }
        | {
            "pwd_exp",
            "pwd_url",
            "in_corp",
            "hasgroups",
            "_claim_names",
            "_claim_sources",
            "groups",
            "verified_primary_email",
        }
    ),
)


# --- GitLab CI ID tokens: https://docs.gitlab.com/ci/secrets/id_token_authentication/ -----------------------------


def _check_gitlab(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts tokens whose project lies directly in their namespace and whose flags are the documented words."""
    del settings
    namespace, _, project = text_claim(claims, "project_path").rpartition("/")
    if not project or namespace != text_claim(claims, "namespace_path"):
        raise TokenRefused("the claims `project_path` and `namespace_path` contradict each other")
    flag_claim(claims, "ref_protected")
    if "environment" in claims:
        flag_claim(claims, "environment_protected")


def _gitlab_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the project's namespace and every namespace above it: rights of a group hold for its subgroups."""
    del settings
    segments = text_claim(claims, "namespace_path").split("/")
    if not all(segments):
        raise TokenRefused("the claim `namespace_path` is not a path of namespaces")
    return tuple("/".join(segments[:depth]) for depth in range(1, len(segments) + 1))


def _never_client(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says no: the subject of a CI token is the pipeline itself, whose one token proves both."""
    del claims, presenters
    return False


_GITLAB_CI = _Profile(
    check=_check_gitlab,
    groups=_gitlab_groups,
    email=None,  # `user_email` is who started the pipeline, not who wrote what it runs
    is_client=_never_client,
    kept=frozenset(
        {"project_path", "project_id", "namespace_path", "namespace_id", "project_visibility"}
        | {"ref", "ref_type", "ref_path", "ref_protected", "sha"}
        | {"environment", "environment_protected", "environment_action", "deployment_tier"}
        | {"pipeline_id", "pipeline_source", "job_id", "runner_environment", "ci_config_ref_uri", "ci_config_sha"}
        | {"user_id", "user_login", "user_access_level"}
    ),
    dropped=frozenset(
        {"user_email", "user_identities", "groups_direct", "runner_id"}
        | {"job_project_id", "job_project_path", "job_namespace_id", "job_namespace_path", "job_source"}
    ),
)

_GENERIC = _Profile(check=_no_check, groups=_groups_listed, email=_verified_email, is_client=_client_is_subject)
_PROFILES: Final[Mapping[ClaimProfile, _Profile]] = {
    ClaimProfile.GENERIC: _GENERIC,
    ClaimProfile.OKTA: _OKTA,
    ClaimProfile.ENTRA: _ENTRA,
    ClaimProfile.GITLAB_CI: _GITLAB_CI,
}
