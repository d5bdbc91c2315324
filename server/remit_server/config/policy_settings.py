"""The frozen values of where bundles come from, and of whose signature they must bear."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from remit_server.domain.secret import Secret

BundlePublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class BundleKeySettings:
    """A public key that bundles may be signed by, under its id, and the one algorithm it is used with."""

    key_id: str
    algorithm: str
    public_key: BundlePublicKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class BundleSigningSettings:
    """Whose signature a bundle must bear. With `required` an unsigned one is refused; one that is wrong always is.

    `valid` is for how long after it was built a bundle may be adopted; None: for ever.
    """

    keys: tuple[BundleKeySettings, ...] = ()
    scope: str = ""
    required: bool = False
    valid: timedelta | None = None


@dataclass(frozen=True, slots=True)
class BundleServerSettings:
    """The bundle server that is asked: `url` is https, or http of a loopback host.

    `poll` is the pause between two questions where the server does not let its clients wait for a change; `max_age` is
    for how long a policy decides without its confirmation, None: for ever.
    """

    url: str
    ca_file: Path | None = None
    token: Secret | None = field(default=None, repr=False)
    private_network: bool = False
    poll: timedelta = timedelta(seconds=30)
    max_age: timedelta | None = timedelta(days=1)
