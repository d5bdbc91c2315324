"""Keys that sign bundles, in files and as a configuration holds them, and signatures made by hand."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from remit_server.adapters.policy.sources.hashing import signed_digest
from remit_server.config.policy_settings import BundleKeySettings

_MAKE: Mapping[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True)
class BundleKey:
    """A key pair: the private half in a file, the public one as PEM and as the configuration holds it."""

    private: Any
    path: Path
    public_path: Path
    settings: BundleKeySettings

    @property
    def public_pem(self) -> bytes:
        return self.public_path.read_bytes()


def bundle_key(folder: Path, key_id: str = "ci", algorithm: str = "ES256") -> BundleKey:
    """Makes a key pair and writes it into a folder."""
    private = _MAKE[algorithm]()
    folder.mkdir(parents=True, exist_ok=True)
    path, public_path = folder / f"{key_id}.pem", folder / f"{key_id}.pub.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    public_path.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return BundleKey(private, path, public_path, BundleKeySettings(key_id, algorithm, private.public_key()))


def claims_of(files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    """Returns what a signature over these files says."""
    listed = [
        {"name": path, "hash": signed_digest(path, content), "algorithm": "SHA-256"}
        for path, content in sorted(files.items())
    ]
    return {"files": listed, **more}


def signed_by_hand(
    key: BundleKey, claims: Mapping[str, Any], *, header: Mapping[str, Any] | None = None, algorithm: str | None = None
) -> bytes:
    """Returns `.signatures.json` with a JWT of any claims and header."""
    used = algorithm or key.settings.algorithm
    head = {"kid": key.settings.key_id} if header is None else dict(header)
    return json.dumps({"signatures": [jwt.encode(dict(claims), key.private, algorithm=used, headers=head)]}).encode()


def encoded(value: Any) -> str:
    """Returns a part of a JWT."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
