"""What an offered bundle is to be held against, and within which bounds: as it leaves the gateway's own process."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from remit_server.adapters.policy.checking.serving import Served
from remit_server.config.policy_settings import BundleSigningSettings


@dataclass(frozen=True, slots=True)
class Signing:
    """Whose signature it may, or must, bear: keys as (id, algorithm, PEM)."""

    keys: tuple[tuple[str, str, bytes], ...]
    scope: str
    required: bool

    @classmethod
    def of(cls, signing: BundleSigningSettings) -> "Signing":
        """Returns it of a configuration."""
        public = PublicFormat.SubjectPublicKeyInfo
        keys = ((one.key_id, one.algorithm, one.public_key.public_bytes(Encoding.PEM, public)) for one in signing.keys)
        return cls(tuple(keys), signing.scope, signing.required)


@dataclass(frozen=True, slots=True)
class Order:
    """What to hold a bundle against: the gateway that is to serve it, and signatures; and how long and with what."""

    serving: Served
    signing: Signing
    memory_bytes: int
    seconds: int
    advice_seconds: float
