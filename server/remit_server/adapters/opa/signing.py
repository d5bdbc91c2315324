"""Signs the bundle for OPA (its documentation: "Bundle Signature"), so that nobody else can serve it one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remit_server.adapters.policy.sources.signing import MAKE_ONE, SigningKey, UnfitSigningKey

KEY_ID: Final = "remit"
_ALGORITHMS: Final = frozenset({"RS256", "ES256"})


@dataclass(frozen=True, slots=True)
class BundleSigner:
    """Holds the gateway's signing key."""

    _key: SigningKey

    @classmethod
    def of(cls, path: Path) -> "BundleSigner":
        """Returns the signer with the private key in a PEM file: RSA of 2048 bits or more, or P-256.

        Raises RuntimeError for anything else.
        """
        try:
            key = SigningKey.of(path)
        except UnfitSigningKey:
            key = None
        if key is None or key.algorithm not in _ALGORITHMS:
            why = f"policy.opa.bundle_signing_key_file {path} holds no unencrypted RSA or P-256 private key in PEM"
            raise RuntimeError(f"{why}; make one: {MAKE_ONE}")
        return cls(key)

    @property
    def fingerprint(self) -> bytes:
        """Names the public half of the key."""
        return self._key.fingerprint

    def signatures(self, files: Sequence[tuple[str, str]]) -> str:
        """Returns `.signatures.json` for these files (path and text): one JWT over the digest of each."""
        return self._key.signatures({path: text.encode() for path, text in files}, key_id=KEY_ID).decode()
