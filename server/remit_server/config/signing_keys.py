"""The key files of the gateway's own issuer: what may be in them, read alike by the check and by the gateway."""

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey
PublicKey = RSAPublicKey | EllipticCurvePublicKey

_SMALLEST_BITS, _LARGEST_BITS = 2048, 4096
_EXPONENT: Final = 65537
_MAX_BYTES: Final = 16_384


class UnfitKey(ValueError):  # noqa: N818 - named for what it says
    """A file holds no key that this issuer may have; says why, never what it holds."""


def private_key_in(path: Path) -> PrivateKey:
    """Returns the private key of a PEM file that is closed to others.

    Raises UnfitKey, or OSError when the file cannot be read. Blocks for as long as the disk takes.
    """
    content = _content(path)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError for an encrypted one; the texts say nothing more
        raise UnfitKey("holds no unencrypted private key in PEM") from None
    if not isinstance(key, PrivateKey):
        raise UnfitKey("holds a key that is neither RSA nor P-256")
    _check(key.public_key())
    return key


def public_key_in(path: Path) -> PublicKey:
    """Returns the public half of the key in a PEM file, private or public, that is closed to others.

    Raises UnfitKey, or OSError when the file cannot be read. Blocks for as long as the disk takes.
    """
    content = _content(path)
    if b"PUBLIC KEY-----" not in content:
        return private_key_in(path).public_key()
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise UnfitKey("holds no key in PEM") from None
    if not isinstance(key, PublicKey):
        raise UnfitKey("holds a key that is neither RSA nor P-256")
    _check(key)
    return key


def is_absent(path: Path) -> bool:
    """Says whether there is nothing at the path: no key, rather than one that cannot be read."""
    return not os.path.lexists(path)


def _content(path: Path) -> bytes:
    """Returns what the file holds; raises UnfitKey when others can read or write it."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise UnfitKey(
                f"has mode {mode:04o}: it is open to others, and this key is worth every role that trusts it"
            )
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise UnfitKey("is too long for a key in PEM")
    return content


def _check(key: PublicKey) -> None:
    """Raises UnfitKey for a key that is weak, or that AWS and its like do not take."""
    if isinstance(key, RSAPublicKey):
        if not _SMALLEST_BITS <= key.key_size <= _LARGEST_BITS or key.public_numbers().e != _EXPONENT:
            raise UnfitKey(f"holds an RSA key that has not {_SMALLEST_BITS} to {_LARGEST_BITS} bits and exponent 65537")
    elif not isinstance(key.curve, SECP256R1):
        raise UnfitKey("holds a key of another curve than P-256")
