"""When a bundle was built: `.manifest.metadata.remit.built_time`, which a signature covers and a revision does not.

The revision says what a bundle holds; this says which of two came later.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.strict_json import MalformedJson, strict_json

MAX_MANIFEST_CHARACTERS: Final = 64 * 1024
_MANIFEST: Final = ".manifest"
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MEND: Final = 'Write it like "2026-11-29T09:00:00Z", or run `remit-server policy stamp`'


def built_time_of(files: Mapping[str, bytes]) -> datetime | None:
    """Returns when the bundle of these files (by path) was built, None when it does not say.

    Raises BundleRefused for a time that cannot be read.
    """
    said = _metadata(_manifest(files.get(_MANIFEST, b""))).get("remit")
    if said is None:
        return None
    time = moment(said.get("built_time")) if isinstance(said, dict) and said.keys() == {"built_time"} else None
    if time is None:
        raise BundleRefused([Finding(_MANIFEST, 0, "metadata.remit is not exactly a built_time in UTC", _MEND)])
    return time


def built_time_faults(files: Mapping[str, bytes]) -> tuple[Finding, ...]:
    """Returns what is wrong with the time, if anything."""
    try:
        built_time_of(files)
    except BundleRefused as refused:
        return refused.findings
    return ()


def moment(value: Any) -> datetime | None:
    """Returns the time that a text says (RFC 3339, in UTC, whole seconds), or None where it says none."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:  # the 30th of February
        return None


def manifest_text(before: bytes, *, revision: str, roots: list[str], built_time: datetime | None) -> bytes:
    """Returns a manifest of this revision, with what `before` says of other things in its metadata.

    Without a `built_time` the one there is stays.
    """
    metadata = dict(_metadata(_manifest(before)))
    if built_time is not None:
        told = built_time.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()
        metadata["remit"] = {"built_time": f"{told}Z"}
    manifest = {"revision": revision, "roots": roots, "rego_version": 1, **({"metadata": metadata} if metadata else {})}
    return (json.dumps(manifest, indent=2) + "\n").encode()


def stamped_revision(manifest: bytes) -> str:
    """Returns the revision that a manifest says, empty where it says none."""
    revision = _manifest(manifest).get("revision", "")
    return revision if isinstance(revision, str) else ""


def _manifest(content: bytes) -> Mapping[str, Any]:
    """Returns the members of a manifest, none where it is none: that is told where the bundle is examined."""
    try:
        value = strict_json(content.decode("utf-8"), max_characters=MAX_MANIFEST_CHARACTERS)
    except (MalformedJson, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _metadata(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the manifest's metadata."""
    metadata = manifest.get("metadata", {})
    return metadata if isinstance(metadata, dict) else {}
