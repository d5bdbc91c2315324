"""Packs a bundle as OPA downloads it: a gzipped tar of what the gateway itself has checked, byte for byte the same."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from remit_server.adapters.opa.nonce import served_revision
from remit_server.adapters.opa.signing import BundleSigner
from remit_server.adapters.policy.bundle import MANIFEST, ROOTS, SIGNATURES, Bundle

_LEVEL: Final = 6


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
    """Returns a gzipped tar of files, by path and text, in which nothing depends on when and where it is made."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, text in files:
            content = text.encode("utf-8")
            member = tarfile.TarInfo(f"/{path}")  # as `opa build` names them
            member.size = len(content)
            member.mode = 0o600
            tar.addfile(member, io.BytesIO(content))  # time, owner and group stay 0 and empty
    return gzip.compress(packed.getvalue(), compresslevel=_LEVEL, mtime=0)
