"""Signs the bundle for OPA (its documentation: "Bundle Signature"), so that nobody else can serve it one."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

KEY_ID: Final = "remit"
_LEAST_BITS: Final = 2048
# What Go's encoder, which OPA computes digests by, writes in another way than Python's.
_AS_GO = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})


@dataclass(frozen=True, slots=True)
class BundleSigner:
    """Holds the gateway's signing key; `fingerprint` names its public half."""

    _key: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    algorithm: str
    fingerprint: bytes

    @classmethod
    def of(cls, path: Path) -> "BundleSigner":
        """Returns the signer with the private key in a PEM file: RSA of 2048 bits or more, or P-256.

        Raises RuntimeError for anything else.
        """
        try:
            key: Any = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_BITS:
            algorithm = "RS256"
        elif isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
            algorithm = "ES256"
        else:
            why = f"policy.opa.bundle_signing_key_file {path} holds no unencrypted RSA or P-256 private key in PEM"
            raise RuntimeError(f"{why}; make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(key, algorithm, hashlib.sha256(public).digest())

    def signatures(self, files: Sequence[tuple[str, str]]) -> str:
        """Returns `.signatures.json` for these files (path and text): one JWT over the digest of each."""
        listed = [{"name": path, "hash": _digest(path, text), "algorithm": "SHA-256"} for path, text in files]
        token = jwt.encode({"files": listed}, self._key, algorithm=self.algorithm, headers={"kid": KEY_ID})
        return json.dumps({"signatures": [token]})


def _digest(path: str, text: str) -> str:
    """Returns the digest of a file as OPA computes it: JSON by its values and sorted keys, the rest by its bytes."""
    if path.endswith((".json", ".manifest")):
        text = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        text = text.translate(_AS_GO)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
