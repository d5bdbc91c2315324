"""Reads a published key set (RFC 7517) and keeps only keys that are fit to verify signatures (8-threats.md 2b)."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from jwt.algorithms import AllowedPublicKeys

from remit_server.adapters.identity.token_parsing import UnverifiedJws, bounded_json, canonical_base64url
from remit_server.adapters.strict_json import MalformedJson
from remit_server.config.identity_rules import is_key_id

MAX_KEY_SET_BYTES: Final = 100 * 1024
MAX_KEYS: Final = 100
SMALLEST_MODULUS_BITS: Final = 2048
LARGEST_MODULUS_BITS: Final = 8192  # verifying costs grow with the square of it
# NOTE: FIPS 186-5 A.1.1 asks for e > 2^16 and odd. Smaller ones (3, 17) are sound only under a flawless padding check,
# and no large issuer uses them, so a doubt costs nothing. Exponents over 32 bits only make verifying slow.
SMALLEST_EXPONENT: Final = 65537
LARGEST_EXPONENT: Final = 2**32 - 1

_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final[Mapping[str, tuple[type[EllipticCurve], int, str]]] = {
    "P-256": (SECP256R1, 32, "ES256"),
    "P-384": (SECP384R1, 48, "ES384"),
    "P-521": (SECP521R1, 66, "ES512"),
}
_ED25519_BYTES: Final = 32
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# Moduli made by a broken chip library (ROCA, CVE-2017-15361) are powers of 65537 modulo each of these primes.
_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


class MalformedKeySet(ValueError):  # noqa: N818 - named for what it says
    """The document is no key set that anything may be verified with; says why."""


class _UnfitKey(ValueError):  # noqa: N818 - named for what it says
    """One key of a set is not fit to verify signatures; says why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key that its owner published to verify signatures with, and the algorithms it may be used with."""

    key_id: str
    algorithms: frozenset[str]
    _public_key: AllowedPublicKeys = field(repr=False)

    def signed(self, jws: UnverifiedJws) -> bool:
        """Says whether this key, with the header's algorithm and no other, made the signature.

        Costs 0.05 to 0.3 ms of CPU, little enough to stay on the event loop.
        """
        if jws.unverified_algorithm not in self.algorithms:
            return False
        algorithm = jwt.get_algorithm_by_name(jws.unverified_algorithm)
        return algorithm.verify(jws.signing_input, self._public_key, jws.unverified_signature)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The fit keys of an issuer by their ids; `unfit` says of each other key why it is not used, for the log."""

    keys: Mapping[str, VerificationKey]
    unfit: tuple[str, ...]


def key_set_of(document: bytes) -> KeySet:
    """Returns the fit keys of a published key set; one unfit key does not keep the others from serving.

    Raises MalformedKeySet for what is no key set, and for a set that publishes a symmetric key: whoever does that has
    mixed up its secrets, and no doubt about a signature is worth it.
    """
    try:
        value = bounded_json(document.decode("utf-8", "strict"), max_characters=MAX_KEY_SET_BYTES)
    except (UnicodeDecodeError, MalformedJson):
        raise MalformedKeySet("the key set is not strict JSON in UTF-8") from None
    members = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise MalformedKeySet("the key set has no list `keys` of objects")
    if len(members) > MAX_KEYS:
        raise MalformedKeySet(f"the key set has more than {MAX_KEYS} keys")
    if any(member.get("kty") == "oct" for member in members):
        raise MalformedKeySet("the key set publishes a symmetric key")
    return _fit_keys(members)


def _fit_keys(members: list[Mapping[str, Any]]) -> KeySet:
    """Returns the keys that are fit, each with an id that no other key of the set has."""
    uses = Counter(member["kid"] for member in members if is_key_id(member.get("kid")))
    shared = {key_id for key_id, count in uses.items() if count > 1}
    keys: dict[str, VerificationKey] = {}
    unfit: list[str] = []
    for position, member in enumerate(members):
        try:
            key = verification_key(member)
        except ValueError as wrong:
            reason = str(wrong) if isinstance(wrong, _UnfitKey) else "is no valid key"
            unfit.append(f"key {position} {reason}")
        else:
            keys[key.key_id] = key
    unfit.extend("a key shares its kid with another key" for key_id in shared & keys.keys())
    return KeySet(keys={name: key for name, key in keys.items() if name not in shared}, unfit=tuple(unfit))


def verification_key(member: Mapping[str, Any]) -> VerificationKey:
    """Returns one key of a set; raises ValueError, mostly with the reason, when it is not fit to verify signatures."""
    key_id = member.get("kid")
    if not isinstance(key_id, str) or not is_key_id(key_id):
        raise _UnfitKey("has no kid of 1 to 128 letters, digits, dots, _ or -")
    _check_purpose(member)
    build = _BUILDERS.get(str(member.get("kty")))
    if build is None:
        raise _UnfitKey("is of a kind that is not used here")
    public_key, algorithms = build(member)
    stated = member.get("alg")
    if "alg" in member:
        algorithms &= {stated} if isinstance(stated, str) else frozenset()
    if not algorithms:
        raise _UnfitKey("states an algorithm that is not for its kind of key, or not used here")
    return VerificationKey(key_id=key_id, algorithms=algorithms, _public_key=public_key)


def _check_purpose(member: Mapping[str, Any]) -> None:
    """Refuses keys that are not for verifying signatures (RFC 7517 4.2, 4.3), and secrets that got published."""
    if not _PRIVATE_MEMBERS.isdisjoint(member):
        raise _UnfitKey("is published with its private part")
    if member.get("use", "sig") != "sig":
        raise _UnfitKey("is not for signatures (use)")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _UnfitKey("is not for verifying (key_ops)")


def _rsa_key(member: Mapping[str, Any]) -> tuple[AllowedPublicKeys, frozenset[str]]:
    """Returns an RSA key (RFC 7518 6.3.1) of a size and an exponent that are neither weak nor costly."""
    modulus, exponent = _number(member, "n"), _number(member, "e")
    if not SMALLEST_MODULUS_BITS <= modulus.bit_length() <= LARGEST_MODULUS_BITS or modulus % 2 == 0:
        raise _UnfitKey(f"is an RSA key of less than {SMALLEST_MODULUS_BITS} or more than {LARGEST_MODULUS_BITS} bits")
    if not SMALLEST_EXPONENT <= exponent <= LARGEST_EXPONENT or exponent % 2 == 0:
        raise _UnfitKey("is an RSA key with an exponent that is even, below 65537 or over 32 bits")
    if _is_roca(modulus):
        raise _UnfitKey("is an RSA key of a generator known to be broken (CVE-2017-15361)")
    return RSAPublicNumbers(e=exponent, n=modulus).public_key(), _RSA_ALGORITHMS


def _ec_key(member: Mapping[str, Any]) -> tuple[AllowedPublicKeys, frozenset[str]]:
    """Returns an elliptic curve key (RFC 7518 6.2.1); a point that is not on its curve is refused by the library."""
    known = _CURVES.get(str(member.get("crv")))
    if known is None:
        raise _UnfitKey("is on a curve that is not used here")
    curve, size, algorithm = known
    x, y = _bytes(member, "x"), _bytes(member, "y")
    if len(x) != size or len(y) != size:
        raise _UnfitKey("has coordinates of the wrong length")
    numbers = EllipticCurvePublicNumbers(x=int.from_bytes(x, "big"), y=int.from_bytes(y, "big"), curve=curve())
    return numbers.public_key(), frozenset({algorithm})


def _okp_key(member: Mapping[str, Any]) -> tuple[AllowedPublicKeys, frozenset[str]]:
    """Returns an Ed25519 key (RFC 8037 2)."""
    x = _bytes(member, "x")
    if member.get("crv") != "Ed25519" or len(x) != _ED25519_BYTES:
        raise _UnfitKey("is no Ed25519 key")
    return Ed25519PublicKey.from_public_bytes(x), frozenset({"EdDSA"})


_Build = Callable[[Mapping[str, Any]], tuple[AllowedPublicKeys, frozenset[str]]]
_BUILDERS: Final[Mapping[str, _Build]] = {"RSA": _rsa_key, "EC": _ec_key, "OKP": _okp_key}


def _bytes(member: Mapping[str, Any], name: str) -> bytes:
    """Returns the bytes of one member of a key."""
    text = member.get(name)
    if not isinstance(text, str):
        raise _UnfitKey(f"lacks `{name}`")
    return canonical_base64url(text)


def _number(member: Mapping[str, Any], name: str) -> int:
    """Returns the unsigned number of one member of a key."""
    return int.from_bytes(_bytes(member, name), "big")


def _is_roca(modulus: int) -> bool:
    """Says whether the modulus bears the fingerprint of the broken generator; a sound one does with odds of 2^-27."""
    return all(modulus % prime in _POWERS[prime] for prime in _ROCA_PRIMES)


_POWERS: Final = {prime: frozenset(pow(65537, power, prime) for power in range(prime)) for prime in _ROCA_PRIMES}
