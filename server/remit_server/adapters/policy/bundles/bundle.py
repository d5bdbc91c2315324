"""Reads a policy bundle from its folder into one frozen value, and computes its revision.

The layout is OPA's: Rego in `*.rego`, data only in `data.yaml` or `data.json` (the folder is the path in the data
tree), everything under the root `remit`. What OPA would quietly leave out is refused here, so that no author believes
in a rule that is not there.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.bundles.catalogue import catalogue_advice, read_catalogue
from remit_server.adapters.policy.bundles.manifest import (
    built_time_faults,
    built_time_of,
    manifest_text,
    stamped_revision,
)
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.adapters.strict_yaml import MalformedYaml, strict_yaml
from remit_server.domain.capability import CapabilityTemplate

MANIFEST: Final = ".manifest"
SIGNATURES: Final = ".signatures.json"
ROOTS: Final = ["remit"]
ADMINISTRATION: Final = "remit/admin/"
_OUTSIDE_THE_REVISION: Final = frozenset({MANIFEST, SIGNATURES})
_DATA_NAMES: Final = frozenset({"data.yaml", "data.json"})
_REVISION: Final = re.compile(r"[0-9a-f]{64}")

Lines = Mapping[tuple[str | int, ...], int]


@dataclass(frozen=True, slots=True)
class Bundle:
    """One revision of the security team's policy: what decides, what it knows, and what intents may name.

    `modules` are (path, text) of the Rego files, tests among them, sorted by path; `data_json` is the whole data tree.
    """

    revision: str
    modules: tuple[tuple[str, str], ...]
    data_json: str
    capabilities: Mapping[str, CapabilityTemplate]

    @property
    def rules(self) -> tuple[tuple[str, str], ...]:
        """The modules that decide: everything but the `*_test.rego` files."""
        return tuple(module for module in self.modules if not is_test(module[0]))

    @property
    def administers(self) -> bool:
        """Says whether it decides who may call the security side; a bundle that does not lets nobody."""
        return any(path.startswith(ADMINISTRATION) for path, _ in self.rules)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a folder holds: the bundle as far as it could be read, every fault that was seen, and advice on the rest.

    With a fault the bundle may be looked at further, for more faults, but never decide.
    """

    bundle: Bundle
    faults: tuple[Finding, ...]
    advice: tuple[Finding, ...]


def is_test(path: str) -> bool:
    """Says whether a Rego file holds tests, which are never loaded to decide."""
    return path.endswith("_test.rego")


def read_bundle(folder: Path, *, stamped: bool = True) -> Bundle:
    """Returns the bundle in a folder; raises BundleRefused with every fault that was seen.

    With `stamped=False` a `.manifest.revision` that no longer fits is let pass, for tests of work in progress.
    """
    return bundle_of(read_files(folder), stamped=stamped)


def examine(folder: Path, *, stamped: bool = True) -> Reading:
    """Returns what is in a folder with its faults, for who wants to see them all; `read_bundle` is what decides.

    Raises BundleRefused for files that must not even be read.
    """
    return examine_files(read_files(folder), stamped=stamped)


def bundle_of(files: Mapping[str, bytes], *, stamped: bool = True) -> Bundle:
    """Returns the bundle that files (by path) make, wherever they came from; raises BundleRefused as `read_bundle`."""
    reading = examine_files(files, stamped=stamped)
    if reading.faults:
        raise BundleRefused(reading.faults)
    return reading.bundle


def examine_files(files: Mapping[str, bytes], *, stamped: bool = True) -> Reading:
    """Returns what files (by path) hold with its faults, as `examine` does of a folder's."""
    found: list[Finding] = [finding for path in files for finding in _misplaced(path)]
    revision = revision_of(files)
    found += _manifest_faults(files.get(MANIFEST), revision if stamped else None)
    found += built_time_faults(files)
    modules, faults = _modules(files)
    found += faults
    tree, lines, faults = _data(files)
    found += faults
    capabilities, faults = read_catalogue(tree, lines)
    found += faults
    advice = () if found else tuple(catalogue_advice(tree, lines))
    bundle = Bundle(revision, modules, json.dumps(tree, ensure_ascii=False, allow_nan=False), capabilities)
    return Reading(bundle, tuple(found), advice)


def revision_of(files: Mapping[str, bytes]) -> str:
    """Returns SHA-256, in hex, over the sorted lines `path NUL sha256(content)`, each ended by a newline.

    `.manifest` and `.signatures.json` stay out: they carry the revision and what signs it.
    """
    lines = (
        path.encode() + b"\0" + hashlib.sha256(content).hexdigest().encode() + b"\n"
        for path, content in files.items()
        if path not in _OUTSIDE_THE_REVISION
    )
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


def stamp(folder: Path, built_time: datetime | None = None) -> str:
    """Writes the revision of what is in the folder into its `.manifest` and returns it.

    With `built_time` also when it was built, unless the manifest says so of this very revision.
    """
    files = read_files(folder)
    revision = revision_of(files)
    manifest = files.get(MANIFEST, b"")
    dated = stamped_revision(manifest) == revision and not built_time_faults(files) and built_time_of(files) is not None
    (folder / MANIFEST).write_bytes(
        manifest_text(manifest, revision=revision, roots=ROOTS, built_time=None if dated else built_time)
    )
    return revision


def _misplaced(path: str) -> Iterable[Finding]:
    """Yields a fault for a file that has no meaning where it stands."""
    name = PurePosixPath(path).name
    if path in _OUTSIDE_THE_REVISION or path in _DATA_NAMES or name.endswith(".md"):
        return  # data at the top is how `opa build` writes all of it
    if path.startswith("schemas/") and name.endswith(".json") and name not in _DATA_NAMES:
        return
    if not name.endswith(".rego") and name not in _DATA_NAMES:
        yield Finding(
            path, 0, "OPA's bundle layout has no such file, so it would have no effect", _WHAT_BELONGS, "bundle-file"
        )
    elif not path.startswith("remit/"):
        yield Finding(path, 0, "it stands outside the bundle's only root, remit", "Move it under remit/", "bundle-file")


_WHAT_BELONGS: Final = "Keep rules in *.rego, data in data.yaml or data.json, schemas in schemas/, the rest elsewhere"


def _manifest_faults(content: bytes | None, revision: str | None) -> Iterable[Finding]:
    """Yields what is wrong with `.manifest`; a revision in it is compared when `revision` is given."""
    if content is None:
        yield Finding(
            MANIFEST, 0, "it is missing", 'Write {"roots": ["remit"]} or run `remit-server policy stamp`', "manifest"
        )
        return
    try:
        manifest = strict_json(content.decode("utf-8"), max_characters=64 * 1024)
    except (MalformedJson, UnicodeDecodeError) as wrong:
        yield Finding(
            MANIFEST, getattr(wrong, "line", None) or 0, f"it is {wrong}", "Run `remit-server policy stamp`", "manifest"
        )
        return
    if not isinstance(manifest, dict) or manifest.get("roots") != ROOTS:
        yield Finding(MANIFEST, 0, "the roots are not exactly remit", 'Write "roots": ["remit"]', "manifest")
        return
    if manifest.get("rego_version", 1) != 1 or manifest.get("file_rego_versions"):
        yield Finding(MANIFEST, 0, "the Rego version is not 1", 'Write "rego_version": 1', "manifest")
    for key in sorted(manifest.keys() - {"roots", "revision", "rego_version", "metadata"}):
        yield Finding(MANIFEST, 0, f"the member {key!r} is not known here", "Take it out", "manifest")
    stamped = manifest.get("revision", "")
    if stamped != "" and not (isinstance(stamped, str) and _REVISION.fullmatch(stamped)):
        yield Finding(MANIFEST, 0, "the revision is not 64 hex digits", "Run `remit-server policy stamp`", "manifest")
    elif stamped and revision and stamped != revision:
        problem = f"it says revision {stamped[:12]}..., the files make {revision[:12]}..."
        yield Finding(
            MANIFEST,
            0,
            problem,
            "If you changed the files, run `remit-server policy stamp`; if not, do not use them",
            "manifest",
        )


def _modules(files: Mapping[str, bytes]) -> tuple[tuple[tuple[str, str], ...], list[Finding]]:
    """Returns the Rego files as text, and a fault for each that is not plain UTF-8."""
    modules: list[tuple[str, str]] = []
    found: list[Finding] = []
    for path, content in sorted(files.items()):
        if path.endswith(".rego"):
            try:
                modules.append((path, _text(content)))
            except ValueError as wrong:
                found.append(Finding(path, 0, str(wrong), "Save it as plain UTF-8", "encoding"))
    return tuple(modules), found


def _text(content: bytes) -> str:
    """Returns the text of a file; raises ValueError unless it is UTF-8 without a byte order mark and without NUL."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as wrong:
        raise ValueError(f"byte {wrong.start} is not UTF-8") from None
    if "\0" in text:
        raise ValueError(f"it holds a NUL byte on line {text[: text.index(chr(0))].count(chr(10)) + 1}")
    if text.startswith("\ufeff"):
        raise ValueError("it starts with a byte order mark")
    return text


def _data(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, tuple[str, Lines]], list[Finding]]:
    """Returns the data tree, per data folder its file and its lines, and every fault."""
    tree: dict[str, Any] = {}
    lines: dict[str, tuple[str, Lines]] = {}
    found: list[Finding] = []
    for path, content in sorted(files.items()):
        if PurePosixPath(path).name not in _DATA_NAMES:
            continue
        folder = str(PurePosixPath(path).parent)
        try:
            value, starts = _document(path, _text(content))
            _placed(tree, folder, value)
        except (MalformedJson, MalformedYaml) as wrong:
            found.append(
                Finding(
                    path, wrong.line or 0, str(wrong), "Write plain data that every reader reads alike", "data-file"
                )
            )
        except ValueError as wrong:
            found.append(
                Finding(path, 0, str(wrong), "Keep one data file per folder, one meaning per path", "data-file")
            )
        else:
            lines[folder] = (path, starts)
    return tree, lines, found


def _document(path: str, text: str) -> tuple[Any, Lines]:
    """Returns the value of a data file and the lines of its upper values (none for JSON)."""
    if path.endswith(".json"):
        return strict_json(text, max_characters=len(text)), {}
    return strict_yaml(text)


def _placed(tree: dict[str, Any], folder: str, value: Any) -> None:
    """Puts the value of one data file into the tree; raises ValueError when something else is there already."""
    if not isinstance(value, dict):
        raise ValueError("a data file holds an object at its top")  # noqa: TRY004 - a fault of the file
    if folder == "." and value.keys() - set(ROOTS):
        raise ValueError("data at the top of the bundle stands outside its only root, remit")
    parent = tree
    for step in folder.split("/") if folder != "." else ():
        parent = parent.setdefault(step, {})
        if not isinstance(parent, dict):
            raise ValueError("another data file already gives this path a value")  # noqa: TRY004 - the same
    if taken := sorted(parent.keys() & value.keys()):
        raise ValueError(f"another data file already gives {folder}/{taken[0]} a value")
    parent.update(value)
