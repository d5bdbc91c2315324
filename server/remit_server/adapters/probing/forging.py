"""Makes the wrong tokens and certificates that a gateway must refuse, with keys made on the spot and used once.

They are as like the right ones as they can be: what differs is only what the gateway has to notice.
"""

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from remit_server.domain.secret import Secret

LIFETIME: Final = 300
_CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@dataclass(frozen=True, slots=True)
class GenuineToken:
    """A token of the prober's own, taken apart: what it says is not verified here, the gateway does that."""

    token: Secret = field(repr=False)
    unverified_header: Mapping[str, Any] = field(repr=False)
    unverified_claims: Mapping[str, Any] = field(repr=False)

    @property
    def subject(self) -> str:
        """Whose it says it is."""
        return str(self.unverified_claims.get("sub", ""))

    @property
    def expiry(self) -> float:
        """When it ends, in seconds since the epoch; 0 where it does not say."""
        told = self.unverified_claims.get("exp", 0)
        return float(told) if isinstance(told, int | float) else 0.0


def genuine(token: Secret) -> GenuineToken:
    """Takes a token apart; raises ValueError for what is no JWT, and repeats nothing of it."""
    try:
        header = jwt.get_unverified_header(token.reveal())
        claims = jwt.decode(token.reveal(), options={"verify_signature": False})
    except jwt.PyJWTError:
        raise ValueError("the probe's token is no JWT: it needs one, as it makes wrong ones out of it") from None
    return GenuineToken(token, header, claims)


def forged(right: GenuineToken) -> Secret:
    """Returns the same claims, fresh, under the right key id, signed by another key of the right kind."""
    key, algorithm = _new_key(right.unverified_header.get("alg"))
    return Secret(jwt.encode(_fresh(right), key, algorithm, headers=_header(right)))


def with_own_key(right: GenuineToken) -> Secret:
    """Returns a token that carries the key that verifies it in its header (RFC 7515 4.1.3: it must not be believed)."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    headers = {**_header(right), "jwk": {**public, "kid": right.unverified_header.get("kid", "")}}
    return Secret(jwt.encode(_fresh(right), key, "ES256", headers=headers))


def unsigned(right: GenuineToken) -> Secret:
    """Returns the same claims without a signature (RFC 7519 6)."""
    header = {**_header(right), "alg": "none"}
    return Secret(f"{_part(header)}.{_part(_fresh(right))}.")


def altered(right: GenuineToken) -> Secret:
    """Returns the genuine header and signature around the claims of somebody else."""
    header, _, signature = right.token.reveal().split(".")
    claims = {**right.unverified_claims, "sub": f"{right.subject}-altered"}
    return Secret(f"{header}.{_part(claims)}.{signature}")


def _fresh(right: GenuineToken) -> dict[str, Any]:
    """Returns the claims as a token of this moment has them."""
    now = int(time.time())
    times = {"iat": now, "exp": now + LIFETIME, **({"nbf": now} if "nbf" in right.unverified_claims else {})}
    return {**right.unverified_claims, **times, "jti": str(uuid.uuid4())}


def _header(right: GenuineToken) -> dict[str, Any]:
    """Returns the header without its algorithm."""
    return {name: value for name, value in right.unverified_header.items() if name != "alg"}


def _new_key(algorithm: Any) -> tuple[Any, str]:
    """Returns a key made now for this algorithm, or for RS256 where it is none that signs with a private key."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]), algorithm
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate(), "EdDSA"
    usual = algorithm if algorithm in {"RS384", "RS512", "PS256", "PS384", "PS512"} else "RS256"
    return rsa.generate_private_key(public_exponent=65537, key_size=2048), usual


def _part(value: Mapping[str, Any]) -> str:
    """Returns one part of a token in compact form."""
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()
