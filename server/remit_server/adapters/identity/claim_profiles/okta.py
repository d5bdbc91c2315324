"""Okta's tokens: https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/."""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.claim_profiles.profile import (
    Profile,
    client_is_subject,
    groups_listed,
    verified_email,
)
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.settings import IssuerSettings


def _check_okta(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Accepts tokens of the one version there is: every token of Okta says `"ver": 1`."""
    del settings
    version = claims.get("ver")
    if isinstance(version, bool) or version != 1:
        raise TokenRefused("the claim `ver` is not 1: this is no token of Okta; correct `profile` or send another one")


def _is_okta_service(claims: Mapping[str, Any], presenters: Mapping[str, str]) -> bool:
    """Says whether the token is a service's own: an access token (it has `cid`) names a user's id in `uid`."""
    return ("cid" in claims and "uid" not in claims) or client_is_subject(claims, presenters)


OKTA: Final = Profile(
    check=_check_okta,
    groups=groups_listed,
    email=verified_email,
    is_client=_is_okta_service,
    presenters=("azp", "client_id", "cid"),
    dropped=frozenset({"ver", "uid", "scp", "idp"}),
)
