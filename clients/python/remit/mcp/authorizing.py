"""Who may call over HTTP: access tokens that were made for this very server, checked here and never passed on."""

import logging
from dataclasses import dataclass
from typing import Any, Final

import jwt
from mcp.server.auth.provider import AccessToken

from remit.mcp.key_sets import KeySet, KeysUnavailable

ALGORITHMS: Final = ("RS256", "ES256")
LARGEST_TOKEN: Final = 16 * 1024
LONGEST_LIFE: Final = 24 * 3600  # seconds
TYPES: Final = frozenset({"at+jwt", "application/at+jwt", "jwt", ""})  # RFC 9068 2.1, and issuers older than it
FOREIGN_KEYS: Final = frozenset({"jku", "x5u", "jwk", "x5c"})
_log = logging.getLogger("remit.mcp")


@dataclass(frozen=True, slots=True)
class VerifyAccessToken:
    """Takes access tokens of one issuer whose one audience is this server (RFC 9068, RFC 8707); any other is nobody's.

    NOTE: the token is for this server only (MCP, Token Passthrough): the gateway is asked with another one.
    """

    issuer: str
    resource: str
    keys: KeySet

    async def verify_token(self, token: str) -> AccessToken | None:
        """Returns who is calling, or None."""
        try:
            return await self._verified(token)
        except (jwt.PyJWTError, KeysUnavailable, ValueError) as error:
            _log.warning("an access token was not taken: %s", type(error).__name__)
            return None

    async def _verified(self, unverified_token: str) -> AccessToken:
        if len(unverified_token) > LARGEST_TOKEN:
            raise ValueError("too long")
        header = jwt.get_unverified_header(unverified_token)
        if str(header.get("typ", "")).lower() not in TYPES or header.keys() & FOREIGN_KEYS:
            raise ValueError("of another kind")
        key = await self.keys.key(str(header.get("kid", "")))
        if key is None:
            raise ValueError("of a key that the issuer does not have")
        claims = jwt.decode(
            unverified_token,
            key,
            algorithms=list(ALGORITHMS),
            issuer=self.issuer,
            audience=self.resource,
            leeway=30,
            options={"require": ["iss", "sub", "aud", "iat", "exp"], "strict_aud": True},
        )
        return self._caller(claims, unverified_token)

    def _caller(self, claims: dict[str, Any], token: str) -> AccessToken:
        """Returns who a verified token is for; the token itself is kept for an exchange at its issuer only."""
        if not claims["sub"] or claims["exp"] - claims["iat"] > LONGEST_LIFE:
            raise ValueError("of nobody, or for too long")
        return AccessToken(
            token=token,
            client_id=str(claims.get("client_id") or claims.get("azp") or ""),
            scopes=str(claims.get("scope", "")).split(),
            expires_at=int(claims["exp"]),
            resource=self.resource,
            subject=str(claims["sub"]),
            claims={"iss": self.issuer},
        )
