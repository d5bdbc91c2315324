"""What a token endpoint answers: tokens, looked at before they are kept, or an error code.

The gateway verifies tokens; here it is only made sure that they are the ones that were asked for (OpenID Connect Core
3.1.3.7: they come from the token endpoint itself, over TLS).
"""

import base64
import time
from collections.abc import Mapping
from typing import Any

from remit.local.login.failures import expired, failed
from remit.local.login.https import Answer, json_object
from remit.local.login.keeping.sign_in import SignIn
from remit.local.login_settings import LoginSettings
from remit.secret import Secret

LARGEST_TOKEN = 16 * 1024  # what the gateway takes
_OK = 200
_PARTS = 3
_MOST_SECONDS = 30 * 86_400
_USUAL_SECONDS = 300
_KNOWN_ERRORS = frozenset({
    "access_denied", "authorization_pending", "expired_token", "invalid_client", "invalid_grant", "invalid_request",
    "invalid_scope", "invalid_target", "login_required", "consent_required", "interaction_required", "server_error",
    "slow_down", "temporarily_unavailable", "unauthorized_client", "unsupported_grant_type",
    "unsupported_response_type",
})  # fmt: skip


def error_code(members: Mapping[str, Any]) -> str:
    """Returns the error code of an answer or a redirect, "another error" for one that no RFC has."""
    code = members.get("error")
    return code if isinstance(code, str) and code in _KNOWN_ERRORS else "another error"


def sign_in_of(
    answer: Answer, settings: LoginSettings, *, nonce: str | None = None, before: SignIn | None = None
) -> SignIn:
    """Returns the sign-in that a token endpoint answered with; raises LoginNeeded when it is not what was asked for.

    `nonce` is the one that was sent, which the ID token must carry. `before` is the sign-in that is refreshed: it must
    stay the same person's, and its refresh token is kept where no new one comes.
    """
    if answer.status != _OK:
        raise failed(f"the issuer gives no tokens: {error_code(answer.members)}")
    if before is not None and settings.token not in answer.members:
        raise expired(f"the issuer gives no new {settings.token} when a sign-in is refreshed")
    claims = _id_token_claims(answer.members, settings, nonce)
    subject = _subject(claims, before)
    token, expire_time = _subject_token(answer.members, settings, claims)
    refresh_token = _token(answer.members, "refresh_token")
    return SignIn(
        issuer=settings.issuer,
        client_id=settings.client_id,
        subject=subject,
        token=token,
        expire_time=expire_time,
        refresh_token=refresh_token or (before.refresh_token if before else None),
    )


def _token(members: Mapping[str, Any], name: str) -> Secret[str] | None:
    """Returns a token of the answer; raises LoginNeeded for what none looks like."""
    found = members.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not 0 < len(found) <= LARGEST_TOKEN or not _is_plain(found):
        raise failed(f"the issuer's {name} is no token: 1 to {LARGEST_TOKEN} characters of ASCII without spaces")
    return Secret(found)


def _is_plain(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


def _id_token_claims(
    members: Mapping[str, Any], settings: LoginSettings, nonce: str | None
) -> Mapping[str, Any] | None:
    """Returns the claims of the ID token, if there is one, seen to be for this client and this sign-in."""
    token = _token(members, "id_token")
    if token is None:
        if nonce is not None or settings.token == "id_token":  # noqa: S105 - the name of a kind of token
            raise failed(
                "the issuer gives no ID token", advice="put openid among the scopes of [login], or set token there"
            )
        return None
    claims = _claims(token)
    if claims.get("iss") != settings.issuer:
        raise failed("the ID token is another issuer's")
    _check_audience(claims, settings.client_id)
    if nonce is not None and claims.get("nonce") != nonce:
        raise failed("the ID token belongs to another sign-in: its nonce is not the one that was sent")
    if _number(claims.get("exp")) <= time.time():
        raise failed("the ID token is over already", advice="set this machine's clock")
    return claims


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences or claims.get("azp", client_id) != client_id:
        raise failed("the ID token was made for another client")


def _claims(token: Secret[str]) -> Mapping[str, Any]:
    """Reads the claims of a JWT without verifying it."""
    parts = token.reveal().split(".")
    try:
        if len(parts) != _PARTS:
            raise ValueError  # noqa: TRY301 - told below
        content = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except ValueError:
        raise failed("the issuer's token is no JWT") from None
    return json_object(content, "the issuer's token")


def _subject(claims: Mapping[str, Any] | None, before: SignIn | None) -> str:
    """Returns whose sign-in it is; a refresh must not change that (OpenID Connect Core 12.2)."""
    if claims is None:
        return before.subject if before else "unknown"
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():  # noqa: PLR2004 - Core 2
        raise failed("the ID token does not say whose it is")
    if before is not None and before.subject not in {subject, "unknown"}:
        raise failed("the refreshed ID token is another person's")
    return subject


def _subject_token(
    members: Mapping[str, Any], settings: LoginSettings, claims: Mapping[str, Any] | None
) -> tuple[Secret[str], float]:
    """Returns the token that is the subject token by the settings, and when it ends."""
    token = _token(members, settings.token)
    if token is None:
        raise failed(f"the issuer gives no {settings.token}", advice="set token in [login] to one that it gives")
    if settings.token == "id_token" and claims is not None:  # noqa: S105 - the name of a kind of token
        return token, _number(claims.get("exp"))
    told = members.get("expires_in", _USUAL_SECONDS)
    seconds = _number(int(told) if isinstance(told, str) and told.isdecimal() and len(told) < 10 else told)  # noqa: PLR2004 - some issuers quote it
    return token, time.time() + min(seconds, _MOST_SECONDS)


def _number(value: object) -> float:
    """Returns a number of seconds; raises LoginNeeded for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e11:  # noqa: PLR2004 - year 5138
        raise failed("the issuer's token does not say when it ends")
    return float(value)
