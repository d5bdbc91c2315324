"""Signing in with a browser on this machine: authorization code with PKCE (RFC 7636) and a loopback redirect."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from remit.local.login.answers import error_code, sign_in_of
from remit.local.login.callback import CallbackServer
from remit.local.login.failures import failed, refused
from remit.local.login.issuer import Issuer
from remit.local.login.keeping.sign_in import SignIn
from remit.secret import Secret

WAIT_SECONDS = 300.0


def sign_in_by_browser(
    issuer: Issuer, show: Callable[[str], None], *, port: int = 0, seconds: float = WAIT_SECONDS
) -> SignIn:
    """Sends a browser to the issuer (`show` opens the URL) and takes what it brings back; raises LoginNeeded.

    State, nonce and verifier are made for this one sign-in. An answer in the name of another issuer is refused
    (RFC 9207).
    """
    if issuer.authorization_endpoint is None:
        raise failed("the issuer has no sign-in by browser with PKCE", advice="sign in with `remit login --device`")
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    with CallbackServer(state, port=port) as server:
        query = {
            "response_type": "code",
            "client_id": issuer.settings.client_id,
            "redirect_uri": server.redirect_uri,
            "state": state,
            "nonce": nonce,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
            **issuer.wanted,
        }
        separator = "&" if "?" in issuer.authorization_endpoint else "?"
        show(f"{issuer.authorization_endpoint}{separator}{urlencode(query)}")
        code = _code(server.wait(seconds), issuer)
        form = {
            "grant_type": "authorization_code",
            "code": code.reveal(),
            "redirect_uri": server.redirect_uri,
            "code_verifier": verifier,
        }
        answer = issuer.ask(issuer.token_endpoint, "the issuer's token_endpoint", form)
    return sign_in_of(answer, issuer.settings, nonce=nonce)


def _code(parameters: Mapping[str, str], issuer: Issuer) -> Secret[str]:
    """Returns the code of a redirect that is this issuer's; raises LoginNeeded."""
    named = parameters.get("iss")
    if named != issuer.settings.issuer and (named is not None or issuer.says_who_it_is):
        raise failed("the answer to the sign-in is another issuer's")
    if "error" in parameters:
        code = error_code(parameters)
        raise (refused if code == "access_denied" else failed)(f"the issuer refuses the sign-in: {code}")
    if not parameters.get("code"):
        raise failed("the browser came back without a code")
    return Secret(parameters["code"])


def _challenge(verifier: str) -> str:
    """Returns the S256 code challenge of a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
