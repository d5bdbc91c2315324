"""Google's ID tokens: https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload.

They name a person and no groups, so groups are named by the configuration (`group_members`). Google signs for everybody
with an account: only users of the organisations that `tenants` names are taken, by `hd` and never by an address.
"""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.profile import Profile, client_is_subject
from remit_server.adapters.identity.claim_values import optional_email, text_claim
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.settings import IssuerSettings


def _check_google(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts tokens of users of the configured organisations, given to a client that they name."""
    if text_claim(claims, "hd") not in settings.tenants:
        raise TokenRefused(
            "the claim `hd` is not one of its issuer's `tenants`: sign in with the organisation's account"
        )
    text_claim(claims, "azp")
    if not isinstance(claims.get("email_verified", False), bool):
        raise TokenRefused("the claim `email_verified` must be true or false")


def _google_email(claims: Mapping[str, Any]) -> str | None:
    """Returns the address only where Google vouches for it.

    It does when it verified the address and `hd` (checked before) says that the account is an organisation's:
    https://developers.google.com/identity/gsi/web/guides/verify-google-id-token.
    """
    address = optional_email(claims)
    return address if claims.get("email_verified") is True else None


def _google_groups(settings: IssuerSettings, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the configured groups that the user is in: by `sub`, by hosted domain, or by an address that counts."""
    names = {claims["hd"]}
    if claims["sub"].isdigit():  # as members are written; whatever else it were, it is no address and no domain
        names.add(claims["sub"])
    address = _google_email(claims)
    # NOTE: ASCII only: a lower-cased Kelvin sign is a plain k, and the address another's.
    if address is not None and address.isascii():
        names.add(address.lower())
    return tuple(group for group, members in settings.group_members if not names.isdisjoint(members))


GOOGLE: Final = Profile(
    check=_check_google,
    groups=_google_groups,
    email=_google_email,
    is_client=client_is_subject,
    presenters=("azp",),
    kept=frozenset({"hd"}),
)
