"""The configured issuer, as its discovery document describes it (OpenID Connect Discovery 1.0, RFC 8414)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remit.local.login.failures import failed
from remit.local.login.https import Answer, ask, https_url
from remit.local.login_settings import LoginSettings

_OK = 200


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer that answered under its own name; endpoints that it has not are None."""

    settings: LoginSettings
    token_endpoint: str
    authorization_endpoint: str | None
    device_authorization_endpoint: str | None
    revocation_endpoint: str | None
    says_who_it_is: bool
    """Whether its authorization responses carry `iss` (RFC 9207)."""

    def ask(self, url: str, what: str, form: Mapping[str, str]) -> Answer:
        """Asks one of its endpoints, as this client."""
        return ask(url, what=what, ca_file=self.settings.ca_file, form={"client_id": self.settings.client_id, **form})

    @property
    def wanted(self) -> dict[str, str]:
        """What is asked for: the scopes, and the audience where one is set."""
        audience = {"audience": self.settings.audience} if self.settings.audience else {}
        return {"scope": " ".join(self.settings.scopes), **audience}


def discover(settings: LoginSettings) -> Issuer:
    """Returns the configured issuer; raises LoginNeeded where another answers, IssuerUnavailable where none does."""
    url = f"{https_url(settings.issuer, 'issuer of [login]').rstrip('/')}/.well-known/openid-configuration"
    answer = ask(url, what="the issuer's discovery document", ca_file=settings.ca_file)
    if answer.status != _OK:
        raise failed(f"the issuer has no discovery document: it answers {answer.status}")
    members = answer.members
    if members.get("issuer") != settings.issuer:
        raise failed("the discovery document is another issuer's: `issuer` in it is not issuer of [login]")
    methods = members.get("code_challenge_methods_supported", ["S256"])
    knows_pkce = isinstance(methods, list) and "S256" in methods
    return Issuer(
        settings=settings,
        token_endpoint=https_url(members.get("token_endpoint"), "the issuer's token_endpoint"),
        authorization_endpoint=_endpoint(members, "authorization_endpoint") if knows_pkce else None,
        device_authorization_endpoint=_endpoint(members, "device_authorization_endpoint"),
        revocation_endpoint=_endpoint(members, "revocation_endpoint"),
        says_who_it_is=members.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(members: Mapping[str, Any], name: str) -> str | None:
    """Returns the URL of an endpoint that not every issuer has."""
    return https_url(members[name], f"the issuer's {name}") if name in members else None
