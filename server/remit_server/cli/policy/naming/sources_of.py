"""Where a command's bundle comes from: a folder, an archive, a folder of a git revision, or a gateway."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remit_server.adapters.policy.bundles.archive import MAX_ARCHIVE_BYTES, files_of_archive
from remit_server.adapters.policy.bundles.bundle import bundle_of
from remit_server.adapters.policy.bundles.bundle_files import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_REGO_BYTES,
    MAX_TOTAL_BYTES,
    PLAIN_NAME,
    read_files,
)
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.cli.policy.naming.received import received_files

if TYPE_CHECKING:
    from remit_server.adapters.policy.bundles.bundle import Bundle
    from remit_server.cli.policy.naming.published import Published

SOURCES: Final = "a folder, an archive (.tar.gz), git:REF:FOLDER, `active`, or 8 to 64 digits of a revision"
_ACTIVE: Final = "active"
_REVISION: Final = re.compile(r"[0-9a-f]{8,64}")
_LARGE_BYTES: Final = 8 << 20
_GIT: Final = "git:"
# A name of git's that is no option, no range, and no walk through history but by plain suffixes.
_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./^~-]{0,199}")
_ENTRY: Final = re.compile(
    r"(?P<mode>[0-7]{6}) (?P<kind>[a-z]+) (?P<id>[0-9a-f]{40,64}) +(?P<size>[0-9]+|-)\t(?P<path>.+)"
)
_PLAIN_MODES: Final = frozenset({"100644", "100755"})
_GIT_SECONDS: Final = 60.0


def bundles_from(before: str, after: str, published: "Published") -> "tuple[Bundle, Bundle]":
    """Returns both bundles, stamped or not; large ones are read side by side, in processes of their own.

    Raises BundleRefused with every fault seen.
    """
    files = (files_from(before, published), files_from(after, published))
    if sum(len(content) for each in files for content in each.values()) < _LARGE_BYTES:
        return _bundle(files[0]), _bundle(files[1])
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        then, now = pool.map(_bundle, files)
    return then, now


def _bundle(files: Mapping[str, bytes]) -> "Bundle":
    return bundle_of(files, stamped=False)


def files_from(source: str, published: "Published") -> Mapping[str, bytes]:
    """Returns path and content of every file of the bundle that a command line names.

    A folder or file of that name comes before a revision: `./active` is never asked for.
    """
    if source.startswith(_GIT):
        return _files_of_git(source)
    path = Path(source)
    if path.is_dir():
        return read_files(path)
    if path.is_file():
        return files_of_archive(_archive(path))
    if source == _ACTIVE or _REVISION.fullmatch(source):
        return received_files(*published("" if source == _ACTIVE else source))
    raise _refused(source, "there is no such folder or file", f"Name {SOURCES}")


def _archive(path: Path) -> bytes:
    """Returns the bytes of an archive, within its bounds."""
    with path.open("rb") as stream:
        return stream.read(MAX_ARCHIVE_BYTES + 1)


def _files_of_git(source: str) -> dict[str, bytes]:
    """Returns the files below a folder of a revision, as git has them: nothing is checked out, no filter runs."""
    ref, colon, folder = source.removeprefix(_GIT).partition(":")
    steps = [step for step in folder.split("/") if step not in {"", "."}]
    if not colon or not _REF.fullmatch(ref) or ".." in ref or not all(PLAIN_NAME.fullmatch(step) for step in steps):
        raise _refused(source, "it names no folder of a git revision", "Write git:main:policies")
    tree = f"{ref}:{'/'.join(steps)}"
    listed = _git(source, "ls-tree", "-r", "-z", "-l", "--full-tree", tree)
    files: dict[str, bytes] = {}
    room = MAX_TOTAL_BYTES
    for text in listed.decode("utf-8", errors="replace").split("\0"):
        if not text:
            continue
        path, object_id, size = _entry(text)
        room -= size
        if len(files) >= MAX_FILES or room < 0:
            raise _refused(path, "the bundle is over its bounds", "Make it smaller")
        files[path] = _git(source, "cat-file", "blob", object_id)
    if not files:
        raise _refused(source, "there is nothing in that folder", "Name the folder that holds .manifest")
    return files


def _entry(text: str) -> tuple[str, str, int]:
    """Returns path, object and size of one plain file of a listing; anything else is refused."""
    found = _ENTRY.fullmatch(text)
    path = found["path"] if found else text[:200]
    if found is None or found["mode"] not in _PLAIN_MODES or found["size"] == "-":
        raise _refused(path, "it is a link, a submodule or a special file", "Put the file itself there")
    if not all(PLAIN_NAME.fullmatch(step) for step in path.split("/")):
        raise _refused(path, "the name is not plain", "Use A-Z, a-z, 0-9, '_', '.' and '-'")
    size = int(found["size"])
    if size > (MAX_REGO_BYTES if path.endswith(".rego") else MAX_FILE_BYTES):
        raise _refused(path, "it takes the bundle over its bounds", "Make it smaller")
    return path, found["id"], size


def _git(source: str, *arguments: str) -> bytes:
    """Returns what git says; raises BundleRefused where it says no."""
    git = shutil.which("git")
    if git is None:
        raise _refused(source, "git is not there", "Install git, or name a folder or an archive")
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and every argument is checked above
            [git, "--no-replace-objects", *arguments], capture_output=True, check=True, timeout=_GIT_SECONDS
        )
    except (subprocess.SubprocessError, OSError) as wrong:
        told = getattr(wrong, "stderr", None) or b""
        why = told.decode("utf-8", errors="replace").strip().splitlines()
        mend = "Name a revision that is there (a shallow clone has few) and a folder of it"
        raise _refused(source, f"git cannot read it: {why[-1][:200] if why else type(wrong).__name__}", mend) from wrong
    return done.stdout


def _refused(path: str, problem: str, mend: str) -> BundleRefused:
    return BundleRefused([Finding(path, 0, problem, mend)])
