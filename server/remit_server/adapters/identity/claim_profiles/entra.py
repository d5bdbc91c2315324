"""Entra ID's v2.0 tokens: https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference."""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.profile import (
    Profile,
    claims_elsewhere,
    client_is_subject,
    groups_listed,
)
from remit_server.adapters.identity.claim_values import optional_email, text_claim
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_rules import entra_tenant
from remit_server.config.settings import IssuerSettings


def _check_entra(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts v2.0 tokens of the one tenant that the issuer names."""
    if text_claim(claims, "ver") != "2.0":
        raise TokenRefused("the claim `ver` is not 2.0: set accessTokenAcceptedVersion to 2 in the app's manifest")
    if text_claim(claims, "tid") != entra_tenant(settings.issuer):
        raise TokenRefused("the claim `tid` is not the tenant that the issuer names")


def _entra_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the groups' object ids; refuses the three forms in which Entra ID says that there are too many."""
    said = "hasgroups" in claims or any(name.startswith("groups:") for name in claims)
    if (said or "groups" in claims_elsewhere(claims)) and settings.group_claim == "groups":
        raise TokenRefused(
            "the user is in more groups than Entra ID puts into a token (groups overage): assign the groups to the "
            "application and send only those (groupMembershipClaims: ApplicationGroup), or set group_claim to `roles`"
        )
    return groups_listed(settings, claims)


def _entra_email(claims: Mapping[str, Any]) -> str | None:
    """Returns the email address only when Entra ID vouches for its domain: users can set it to anybody's otherwise."""
    address = optional_email(claims)
    return address if claims.get("xms_edov") is True else None


def _is_entra_app(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says whether the token is an application's own: `idtyp` says so, and `oid` equals `sub` only there."""
    app_only = claims.get("idtyp", "user") != "user" or claims.get("oid") == claims["sub"]
    return app_only or client_is_subject(claims, presenters)


ENTRA: Final = Profile(
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
