"""The keys that the local issuer signs with, and their public halves as a JSON Web Key Set (RFC 7517)."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

Algorithm = Literal["RS256", "ES256"]


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """One RSA key for RS256 and one P-256 key for ES256."""

    _rsa: rsa.RSAPrivateKey = field(repr=False)
    _ec: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Makes two new keys; takes about a tenth of a second."""
        return cls(
            rsa.generate_private_key(public_exponent=65537, key_size=2048),
            ec.generate_private_key(ec.SECP256R1()),
        )

    def sign(self, claims: Mapping[str, Any], algorithm: Algorithm, headers: Mapping[str, Any]) -> str:
        """Returns the claims as a signed token (RFC 7519); `headers` win over `typ: JWT` and the key's `kid`."""
        key = self._rsa if algorithm == "RS256" else self._ec
        header = {"typ": "JWT", "kid": _thumbprint(self._public(algorithm)), **headers}
        return jwt.encode(dict(claims), key, algorithm=algorithm, headers=header)

    def key_set(self) -> dict[str, Any]:
        """Returns the public halves as a key set; each key names its only algorithm."""
        return {"keys": [self._described("RS256"), self._described("ES256")]}

    def _described(self, algorithm: Algorithm) -> dict[str, Any]:
        public = self._public(algorithm)
        return {**public, "kid": _thumbprint(public), "use": "sig", "alg": algorithm}

    def _public(self, algorithm: Algorithm) -> dict[str, str]:
        if algorithm == "RS256":
            key = RSAAlgorithm.to_jwk(self._rsa.public_key(), as_dict=True)
        else:
            key = ECAlgorithm.to_jwk(self._ec.public_key(), as_dict=True)
        return {name: str(key[name]) for name in ("crv", "e", "kty", "n", "x", "y") if name in key}


def _thumbprint(public: Mapping[str, str]) -> str:
    # RFC 7638: the required members only, in lexical order, without white space.
    canonical = json.dumps(public, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
