"""The token by which the gateway, as an OIDC issuer, asks for one session: it lives for a minute and names its role."""

import json
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Final, Protocol

from remit_server.domain.credentials import SessionOrder
from remit_server.domain.secret import Secret

AUDIENCE: Final = "sts.amazonaws.com"
LIFETIME: Final = timedelta(seconds=60)
# AWS IAM user guide, "Pass session tags in AWS STS" and "Monitor and control actions taken with assumed roles".
TAGS_CLAIM: Final = "https://aws.amazon.com/tags"
SOURCE_IDENTITY_CLAIM: Final = "https://aws.amazon.com/source_identity"
_LONGEST: Final = 20_000  # of the parameter WebIdentityToken


class Signer(Protocol):
    """Signs with one key, wherever that is: in memory, or in a key management service."""

    @property
    def key_id(self) -> str:
        """What the published key set calls the key."""
        ...

    @property
    def algorithm(self) -> str:
        """The JWS algorithm: RS256 or ES256."""
        ...

    async def sign(self, content: bytes, /) -> bytes:
        """Returns the signature as JWS has it (RFC 7518 3)."""
        ...


async def token_for(order: SessionOrder, *, issuer: str, signer: Signer, now: datetime, token_id: str) -> Secret:
    """Returns the token (RFC 7519) with which this order, and no other role, can be asked for until a minute from now.

    Raises ValueError when it is longer than AWS takes.
    """
    issued = int(now.timestamp())
    claims: dict[str, object] = {
        "iss": issuer,
        "sub": order.role.web_identity_subject,
        "aud": AUDIENCE,
        "iat": issued,
        "exp": issued + int(LIFETIME.total_seconds()),
        "jti": token_id,
        SOURCE_IDENTITY_CLAIM: order.source_identity,
    }
    if order.tags:  # a role that is opened without tags need not allow sts:TagSession
        tags = {key: [value] for key, value in order.tags}
        claims[TAGS_CLAIM] = {"principal_tags": tags, "transitive_tag_keys": []}
    header = {"alg": signer.algorithm, "kid": signer.key_id, "typ": "JWT"}
    signed = f"{_part(header)}.{_part(claims)}"
    token = f"{signed}.{_base64url(await signer.sign(signed.encode('ascii')))}"
    if len(token) > _LONGEST:
        raise ValueError("the session tags make a token that is longer than AWS takes")
    return Secret(token)


def _part(value: dict[str, object] | dict[str, str]) -> str:
    """Returns a part of the token: JSON in ASCII, as base64url."""
    return _base64url(json.dumps(value, separators=(",", ":")).encode("ascii"))


def _base64url(raw: bytes) -> str:
    """Returns base64url without padding (RFC 7515 2)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
