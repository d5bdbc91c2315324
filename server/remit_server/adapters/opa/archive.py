"""Packs a bundle as OPA downloads it: a gzipped tar of what the gateway itself has checked, byte for byte the same."""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import Final

from remit_server.adapters.policy.bundle import MANIFEST, ROOTS, Bundle

_LEVEL: Final = 6


@dataclass(frozen=True, slots=True)
class Archive:
    """A bundle on its way to OPA: its revision, its bytes, and the entity tag (RFC 9110 8.8.3) of those bytes."""

    revision: str
    content: bytes
    etag: str


def archive_of(bundle: Bundle) -> Archive:
    """Returns the archive of a bundle: its rules without their tests, its data, and a manifest with its revision.

    What OPA gets is made of the values that were read, checked and digested at the start, not read from disk again; it
    is what the embedded engine would load. Equal bundles make equal bytes.
    """
    manifest = json.dumps({"revision": bundle.revision, "roots": ROOTS, "rego_version": 1}, sort_keys=True)
    files = [(MANIFEST, manifest), ("data.json", bundle.data_json), *bundle.rules]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, text in files:
            content = text.encode("utf-8")
            member = tarfile.TarInfo(f"/{path}")  # as `opa build` names them
            member.size = len(content)
            member.mode = 0o600
            tar.addfile(member, io.BytesIO(content))  # time, owner and group stay 0 and empty
    content = gzip.compress(packed.getvalue(), compresslevel=_LEVEL, mtime=0)
    return Archive(bundle.revision, content, f'"{hashlib.sha256(content).hexdigest()}"')
