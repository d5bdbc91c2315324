"""Signs tokens of every kind, honest and hostile: a real issuer would refuse to make most of them."""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import get_algorithm_by_name

from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.identity.oidc import OidcVerifier, TrustedIssuer
from remit_server.config.settings import IssuerSettings
from remit_server.domain.secret import Secret

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW = int(NOON.timestamp())
ISSUER = "https://idp.example.com"
AUDIENCE = "remit"


class _Absent(Enum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT  # given as a claim's or a header member's value, it leaves that out


class HandClock:
    """Moves only when a test moves it: leeway and staleness are checked to the second."""

    def __init__(self, start: datetime = NOON) -> None:
        self.time = start

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def advance(self, **units: float) -> None:
        self.time += timedelta(**units)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@functools.cache
def rsa_key(bits: int = 2048, exponent: int = 65537, name: str = "") -> rsa.RSAPrivateKey:
    """Makes an RSA key once per test process; `name` tells apart keys that are otherwise alike."""
    del name
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


@functools.cache
def ec_key(curve: str = "P-256") -> ec.EllipticCurvePrivateKey:
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "secp256k1": ec.SECP256K1()}
    return ec.generate_private_key(curves[curve])


@functools.cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def rsa_jwk(key: rsa.RSAPrivateKey, **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": b64(_minimal(numbers.n)), "e": b64(_minimal(numbers.e)), **more}


def ec_jwk(key: ec.EllipticCurvePrivateKey, curve: str = "P-256", **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    x, y = numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")
    return {"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y), **more}


def ed_jwk(key: ed25519.Ed25519PrivateKey, **more: Any) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw()), **more}


def _minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def key_set(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def usual_key_set() -> bytes:
    """The public halves of the keys that the forge signs with."""
    return key_set(
        rsa_jwk(rsa_key(), kid="rsa", use="sig", alg="RS256"),
        ec_jwk(ec_key(), kid="ec", use="sig", alg="ES256"),
        ed_jwk(ed_key(), kid="ed", use="sig"),
        rsa_jwk(rsa_key(name="any"), kid="rsa-any", use="sig"),
    )


_SIGNERS: Mapping[str, Any] = {
    "rsa": rsa_key,
    "ec": ec_key,
    "ed": ed_key,
    "rsa-any": lambda: rsa_key(name="any"),
}


def sign(header: bytes, payload: bytes, *, algorithm: str = "RS256", key: Any = None) -> str:
    """Signs these very bytes."""
    signed = f"{b64(header)}.{b64(payload)}"
    signature = get_algorithm_by_name(algorithm).sign(signed.encode(), key if key is not None else rsa_key())
    return f"{signed}.{b64(signature)}"


def claims(**changes: Any) -> dict[str, Any]:
    """A user's usual claims with changes; ABSENT leaves one out."""
    usual = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "iat": NOW - 60,
        "exp": NOW + 600,
        "jti": "token-1",
        "azp": "copilot",
        "groups": ["analysts"],
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ABSENT}


def forge(
    payload: Mapping[str, Any] | None = None,
    *,
    header: Mapping[str, Any] | None = None,
    kid: str = "rsa",
    algorithm: str = "RS256",
    key: Any = None,
) -> str:
    """Signs claims with one of the forge's keys (or another); `header` replaces or adds members."""
    full = {"alg": algorithm, "typ": "JWT", "kid": kid, **(header or {})}
    present = {name: value for name, value in full.items() if value is not ABSENT}
    signer = key if key is not None else _SIGNERS[kid]()
    content = json.dumps(claims() if payload is None else payload).encode()
    return sign(json.dumps(present).encode(), content, algorithm=algorithm, key=signer)


def user_token(**changes: Any) -> str:
    return forge(claims(**changes))


def settings(**changes: Any) -> IssuerSettings:
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "alias": "idp",
        "audience": AUDIENCE,
        "algorithms": ("RS256", "ES256", "EdDSA"),
        "allowed_hosts": frozenset({"idp.example.com"}),
        "key_set_url": None,
    }
    merged = {**usual, **changes}
    if "issuer" in changes and "allowed_hosts" not in changes:
        merged["allowed_hosts"] = frozenset({changes["issuer"].split("/")[2].split(":")[0]})
    return IssuerSettings(**merged)


@dataclass
class MemoryFetch:
    """Serves an issuer's documents from memory: these tests are about what is done with them, not about the network."""

    issuer: str = ISSUER
    document: bytes = field(default_factory=usual_key_set)
    calls: list[str] = field(default_factory=list)

    async def __call__(self, url: str, /) -> bytes:
        self.calls.append(url)
        if url.endswith("/.well-known/openid-configuration"):
            return json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}).encode()
        return self.document


def trusted(configuration: IssuerSettings, clock: HandClock, document: bytes | None = None) -> TrustedIssuer:
    fetch = MemoryFetch(configuration.issuer, usual_key_set() if document is None else document)
    return TrustedIssuer(configuration, IssuerKeys(configuration, clock, fetch))


def verifier(*configurations: IssuerSettings, clock: HandClock | None = None, **more: Any) -> OidcVerifier:
    clock = clock or HandClock()
    issuers: Sequence[IssuerSettings] = configurations or (settings(),)
    return OidcVerifier([trusted(issuer, clock) for issuer in issuers], clock, **more)


def secret(text: str) -> Secret:
    return Secret(text)


def thumbprint(der: bytes) -> str:
    return b64(hashlib.sha256(der).digest())
