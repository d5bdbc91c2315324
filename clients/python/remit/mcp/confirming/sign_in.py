"""The user's fresh login for one confirmation: authorization code with PKCE, and the password asked for again."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from remit.local.errors import LoginNeeded
from remit.local.login.answers import error_code, sign_in_of
from remit.local.login.issuer import discover
from remit.local.login_settings import LoginSettings
from remit.secret import Secret

FRESH: Final = {"prompt": "login", "max_age": "0"}  # OpenID Connect Core 3.1.2.1


@dataclass(frozen=True, slots=True)
class FreshLogin:
    """One login that was begun: what its answer must carry, and what proves that it is ours."""

    url: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str


def begin(settings: LoginSettings, redirect_uri: str) -> FreshLogin:
    """Returns a login to send the browser to; blocks. Raises RemitError."""
    issuer = discover(settings)
    if issuer.authorization_endpoint is None:
        raise LoginNeeded(
            "the issuer has no sign-in by browser with PKCE", advice="confirm with `remit-server approvals`"
        )
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "nonce": nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **issuer.wanted,
        **FRESH,
    }
    separator = "&" if "?" in issuer.authorization_endpoint else "?"
    return FreshLogin(
        f"{issuer.authorization_endpoint}{separator}{urlencode(query)}", state, nonce, verifier, redirect_uri
    )


def finish(settings: LoginSettings, login: FreshLogin, parameters: dict[str, str]) -> Secret[str]:
    """Returns the user's token for the gateway's operators; blocks. Raises RemitError."""
    issuer = discover(settings)
    named = parameters.get("iss")
    if named != settings.issuer and (named is not None or issuer.says_who_it_is):
        raise LoginNeeded("the answer to the sign-in is another issuer's")
    if "error" in parameters or not parameters.get("code"):
        raise LoginNeeded(f"the issuer refuses the sign-in: {error_code(parameters)}", advice="open the page again")
    form = {
        "grant_type": "authorization_code",
        "code": parameters["code"],
        "redirect_uri": login.redirect_uri,
        "code_verifier": login.verifier,
    }
    answer = issuer.ask(issuer.token_endpoint, "the issuer's token_endpoint", form)
    return sign_in_of(answer, settings, nonce=login.nonce).token
