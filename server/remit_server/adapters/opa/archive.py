"""Packs a bundle as OPA downloads it: a gzipped tar of what the gateway itself has checked, byte for byte the same."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from remit_server.adapters.opa.nonce import served_revision
from remit_server.adapters.opa.signing import BundleSigner
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import MANIFEST, ROOTS, SIGNATURES, Bundle


@dataclass(frozen=True, slots=True)
class Archive:
    """A bundle on its way to OPA: its revision, its bytes, and the entity tag (RFC 9110 8.8.3) they are known by."""

    revision: str
    content: bytes
    etag: str


def archive_of(bundle: Bundle, nonce: str, signer: BundleSigner | None = None) -> Archive:
    """Returns the archive of a bundle: its rules without their tests, its data, and a manifest with its revision.

    What OPA gets is made of the values that were read, checked and digested at the start, not read from disk again; it
    is what the embedded engine would load. Equal bundles of one start make equal bytes, but for a signature made anew
    each time; the entity tag is that of the unsigned bytes and the key, so that all workers of a gateway have the same.
    Revision and tag hold the start's `nonce`: nobody could put an archive of this name into OPA before.
    """
    revision = served_revision(bundle.revision, nonce)
    manifest = json.dumps({"revision": revision, "roots": ROOTS, "rego_version": 1}, sort_keys=True)
    files = [(MANIFEST, manifest), ("data.json", bundle.data_json), *bundle.rules]
    content = _packed(files)
    digest = hashlib.sha256(content + (signer.fingerprint if signer else b"")).hexdigest()
    if signer is not None:
        content = _packed([(SIGNATURES, signer.signatures(files)), *files])
    return Archive(revision, content, f'"{digest}"')


def _packed(files: Sequence[tuple[str, str]]) -> bytes:
    """Returns files, by path and text, as one archive in which nothing depends on when and where it is made."""
    return archive_of_files({path: text.encode("utf-8") for path, text in files})
