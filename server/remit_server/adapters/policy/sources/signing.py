"""Signs bundles in OPA's format (its documentation: "Bundle Signature"): one JWT over the digest of each file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from remit_server.adapters.policy.bundles.bundle import SIGNATURES
from remit_server.adapters.policy.sources.hashing import ALGORITHM, signed_digest

MAKE_ONE: Final = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
_LEAST_BITS: Final = 2048


class UnfitSigningKey(ValueError):  # noqa: N818 - named for what it says
    """A file holds no key that bundles may be signed with; says why, never what it holds."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs bundles; `fingerprint` names its public half."""

    _key: RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey = field(repr=False)
    algorithm: str
    fingerprint: bytes

    @classmethod
    def of(cls, path: Path) -> "SigningKey":
        """Returns the private key in a PEM file: RSA of 2048 bits or more, P-256, or Ed25519.

        Raises UnfitSigningKey for anything else. Blocks for as long as the disk takes.
        """
        try:
            content = path.read_bytes()
        except OSError as wrong:
            why = "there is no such file" if isinstance(wrong, FileNotFoundError) else f"{wrong.strerror}"
            raise UnfitSigningKey(
                f"{path} cannot be read: {why}; name the private key, or make one: {MAKE_ONE}"
            ) from None
        try:
            key: Any = load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        algorithm = _algorithm(key)
        if algorithm is None:
            why = "holds no unencrypted RSA (2048 bits or more), P-256 or Ed25519 private key in PEM"
            raise UnfitSigningKey(f"{path} {why}; make one: {MAKE_ONE}")
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(key, algorithm, hashlib.sha256(public).digest())

    def signatures(self, files: Mapping[str, bytes], *, key_id: str, scope: str = "") -> bytes:
        """Returns `.signatures.json` for these files (by path): one JWT over the digest of each but itself.

        Raises ValueError for a data file or a manifest that cannot be read.
        """
        listed = [
            {"name": path, "hash": signed_digest(path, content), "algorithm": ALGORITHM}
            for path, content in files.items()
            if path != SIGNATURES
        ]
        claims = {"files": listed, **({"scope": scope} if scope else {})}
        token = jwt.encode(claims, self._key, algorithm=self.algorithm, headers={"kid": key_id})
        return json.dumps({"signatures": [token]}).encode()


def _algorithm(key: Any) -> str | None:
    """Returns the one algorithm that a key signs with, or None for a key that is not fit."""
    if isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_BITS:
        return "RS256"
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, Ed25519PrivateKey) else None
