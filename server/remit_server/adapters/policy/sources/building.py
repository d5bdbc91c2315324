"""Makes a bundle ready to travel: its revision and time in its manifest, and its signature beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remit_server.adapters.policy.bundles.bundle import MANIFEST, ROOTS, SIGNATURES, Bundle, bundle_of, revision_of
from remit_server.adapters.policy.bundles.manifest import manifest_text
from remit_server.adapters.policy.sources.signing import SigningKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, the id that gateways know it by, and what the signature is for."""

    key: SigningKey
    key_id: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """A sound bundle with its files (by path), the manifest and the signature among them."""

    bundle: Bundle
    files: Mapping[str, bytes]


def built(files: Mapping[str, bytes], built_time: datetime, signer: Signer | None = None) -> Built:
    """Returns the bundle of files (by path), stamped and dated, signed where there is a signer, else unsigned.

    Raises BundleRefused with every fault of the bundle.
    """
    ready = {path: content for path, content in files.items() if path != SIGNATURES}
    manifest = ready.get(MANIFEST, b"")
    ready[MANIFEST] = manifest_text(manifest, revision=revision_of(ready), roots=ROOTS, built_time=built_time)
    bundle = bundle_of(ready)
    if signer is not None:
        ready[SIGNATURES] = signer.key.signatures(ready, key_id=signer.key_id, scope=signer.scope)
    return Built(bundle, ready)
