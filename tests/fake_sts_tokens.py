"""What AWS checks of a web identity token, as the fake STS does: written from AWS's documents, not from our client.

Sources: STS API reference, AssumeRoleWithWebIdentity; IAM user guide, "Pass session tags in AWS STS".
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from tests.fake_sts_rules import Refused

LONGEST_TOKEN = 20_000
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
TAGS = "https://aws.amazon.com/tags"
SOURCE_IDENTITY = "https://aws.amazon.com/source_identity"
NO_PART = ("SourceIdentity", "ExternalId", "Tags.", "TransitiveTagKeys.", "ProviderId")


@dataclass(frozen=True, slots=True)
class FakeProvider:
    """An OIDC provider of the fake account; `key_set` is asked at every call, as if nothing were cached."""

    url: str
    key_set: Callable[[], bytes]
    audiences: Collection[str] = ("sts.amazonaws.com",)


def verified_claims(form: Mapping[str, str], provider: FakeProvider | None) -> dict[str, Any]:
    """Returns the claims of the form's token after checking signature, issuer, audience and times; raises Refused."""
    token = form.get("WebIdentityToken", "")
    if not 4 <= len(token) <= LONGEST_TOKEN:
        raise Refused(400, "ValidationError", "at 'webIdentityToken' failed to satisfy constraint")
    if provider is None:
        raise _invalid("No OpenIDConnect provider found in your account")
    keys = {key["kid"]: jwt.PyJWK(key) for key in json.loads(provider.key_set())["keys"]}
    try:
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name] if key.algorithm_name in ALGORITHMS else [],
            issuer=provider.url,
            audience=list(provider.audiences),
            options={"require": ["iss", "sub", "aud", "iat", "exp"]},
        )
    except KeyError:
        raise _invalid("Couldn't retrieve verification key from your identity provider") from None
    except jwt.ExpiredSignatureError:
        raise Refused(400, "ExpiredTokenException", "Token expired") from None
    except jwt.InvalidAudienceError:
        raise _invalid("Incorrect token audience") from None
    except jwt.InvalidTokenError as wrong:
        raise _invalid(f"The ID Token provided is not a valid JWT: {wrong}") from None
    return claims


def as_parameters(form: Mapping[str, str], claims: Mapping[str, Any]) -> dict[str, str]:
    """Returns the form with what the token claims, as AssumeRole would have it; raises Refused for claims of no use."""
    if any(name.startswith(NO_PART) for name in form):
        raise Refused(400, "ValidationError", "a parameter that AssumeRoleWithWebIdentity does not have")
    tags = claims.get(TAGS, {"principal_tags": {}})
    principal, transitive = tags.get("principal_tags"), tags.get("transitive_tag_keys", [])
    if set(tags) - {"principal_tags", "transitive_tag_keys"} or not isinstance(principal, dict):
        raise _invalid("the tags claim has another form")
    named = dict(form)
    for number, (key, values) in enumerate(principal.items(), start=1):
        if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
            raise _invalid("a session tag has exactly one value, in a list")
        named |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": values[0]}
    for number, key in enumerate(transitive, start=1):
        named[f"TransitiveTagKeys.member.{number}"] = key
    if SOURCE_IDENTITY in claims:
        named["SourceIdentity"] = claims[SOURCE_IDENTITY]
    return named


def _invalid(message: str) -> Refused:
    return Refused(400, "InvalidIdentityToken", message)
