"""The keys of the gateway's own issuer, as values: the one that signs, and the public halves that are published."""

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Self

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from remit_server.config.settings import OwnIssuerSettings
from remit_server.config.signing_keys import PrivateKey, PublicKey, is_absent, private_key_in, public_key_in


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """The public half of a key as the key set holds it (RFC 7517); `key_id` is its thumbprint (RFC 7638)."""

    key_id: str
    algorithm: str
    members: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, key: PublicKey) -> Self:
        """Returns what is published of a key."""
        if isinstance(key, RSAPublicKey):
            rsa = key.public_numbers()
            algorithm, members = "RS256", {"e": _number(rsa.e), "kty": "RSA", "n": _number(rsa.n)}
        else:
            point = key.public_numbers()
            algorithm, members = "ES256", {"crv": "P-256", "kty": "EC", "x": _number(point.x, 32)}
            members["y"] = _number(point.y, 32)
        # RFC 7638 3: the members that a key needs, in the order of their names, without any space.
        canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
        return cls(_base64url(hashlib.sha256(canonical).digest()), algorithm, tuple(sorted(members.items())))

    def jwk(self) -> dict[str, str]:
        """Returns the key's entry in the key set."""
        return {**dict(self.members), "alg": self.algorithm, "kid": self.key_id, "use": "sig"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs with a private key that is in this process's memory; prints nothing of it."""

    published: PublishedKey
    _key: PrivateKey = field(repr=False)

    @classmethod
    def of(cls, key: PrivateKey) -> Self:
        """Returns the signer with that key."""
        return cls(PublishedKey.of(key.public_key()), key)

    @property
    def key_id(self) -> str:
        """What the key set calls the key."""
        return self.published.key_id

    @property
    def algorithm(self) -> str:
        """The `alg` of what it signs."""
        return self.published.algorithm

    async def sign(self, content: bytes, /) -> bytes:
        """Returns the signature in the form of JWS (RFC 7518 3.3, 3.4)."""
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        if isinstance(self._key, RSAPrivateKey):  # half a millisecond, for which Python's lock is let go
            signature: bytes = await asyncio.to_thread(algorithm.sign, content, self._key)
            return signature
        return algorithm.sign(content, self._key)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the key files hold together: the active key signs, all three are published."""

    active: SigningKey
    coming: PublishedKey | None = None
    previous: PublishedKey | None = None

    @classmethod
    def read(cls, settings: OwnIssuerSettings) -> Self:
        """Returns what the files hold now; blocks for as long as the disk takes.

        Raises ValueError (UnfitKey) or OSError, say in the middle of a rotation.
        """
        others = (settings.next_signing_key_file, settings.previous_signing_key_file)
        published = [
            None if path is None or is_absent(path) else PublishedKey.of(public_key_in(path)) for path in others
        ]
        return cls(SigningKey.of(private_key_in(settings.signing_key_file)), *published)

    @property
    def published(self) -> tuple[PublishedKey, ...]:
        """Every key that is published, once each, in the order of their ids."""
        keys = (self.active.published, self.coming, self.previous)
        return tuple(sorted({key for key in keys if key is not None}, key=lambda key: key.key_id))


def _number(value: int, size: int | None = None) -> str:
    """Returns an unsigned number as RFC 7518 writes it: as short as can be, or in so many bytes."""
    return _base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _base64url(raw: bytes) -> str:
    """Returns base64url without padding (RFC 7515 2)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
