"""Token exchange (RFC 8693) at the local issuer: a person's access token for a server against one for the gateway."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any, Final

import jwt

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name (RFC 8693 3)


def client_of(authorization: str, password: str) -> str | None:
    """Returns the client that proves itself by the Basic scheme with the sandbox's password, None for any other."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        client_id, _, given = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    is_good = scheme.lower() == "basic" and hmac.compare_digest(given.encode(), password.encode())
    return client_id if is_good else None


def person_of(form: Mapping[str, str], *, issuer: str, key_set: Mapping[str, Any]) -> str | None:
    """Returns whose access token is to be exchanged; None for what is no live token of this issuer."""
    if form.get("subject_token_type") != ACCESS_TOKEN:
        return None
    token = form.get("subject_token", "")
    try:
        keys = {key["kid"]: jwt.PyJWK(key) for key in key_set["keys"]}
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=["RS256", "ES256"], issuer=issuer, options={"verify_aud": False})
    except (jwt.PyJWTError, KeyError):
        return None
    return str(claims["sub"])
