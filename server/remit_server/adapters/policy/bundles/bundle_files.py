"""Reads the files of a policy bundle, within bounds, and nothing that is not a plain file below the folder."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from remit_server.adapters.policy.findings import BundleRefused, Finding

MAX_FILES: Final = 2_000
MAX_FILE_BYTES: Final = 32 * 1024 * 1024
MAX_REGO_BYTES: Final = 256 * 1024
MAX_TOTAL_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 16
PLAIN_NAME: Final = re.compile(r"\.?[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def read_files(folder: Path) -> dict[str, bytes]:
    """Returns path (relative, with `/`) and content of every file of a bundle.

    Raises BundleRefused for a symbolic link, a special file, an odd name, what everyone may change, or a bundle over
    its bounds.
    """
    if not folder.is_dir():
        raise BundleRefused(
            [Finding(str(folder), 0, "there is no such folder", "Name the folder that holds .manifest")]
        )
    _must_be_a_bundle(folder)
    files: dict[str, bytes] = {}
    room = MAX_TOTAL_BYTES
    for path, entry in _entries(folder, ""):
        if len(files) >= MAX_FILES:
            raise BundleRefused(
                [
                    Finding(
                        path, 0, f"the bundle has over {MAX_FILES} files", "Merge data into fewer files", "bundle-size"
                    )
                ]
            )
        limit = min(room, MAX_REGO_BYTES if path.endswith(".rego") else MAX_FILE_BYTES)
        files[path] = content = _content(path, entry, limit)
        room -= len(content)
    return files


def _must_be_a_bundle(folder: Path) -> None:
    """Raises BundleRefused, with one fault, for what stands around a bundle rather than being one."""
    inside = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
    if not (folder / ".manifest").exists():
        bundles = [entry for entry in inside if (entry / ".manifest").is_file()]
        if len(bundles) == 1:
            mend = f"Did you mean --bundle {bundles[0]}?"
            raise BundleRefused(
                [Finding(str(folder), 0, "it holds no .manifest, so it is no bundle", mend, "manifest")]
            )
    for hidden in (entry for entry in inside if entry.name.startswith(".")):
        mend = "Keep the bundle in a folder of its own, and name that by --bundle"
        problem = "a hidden folder at the top is no part of a bundle"
        raise BundleRefused([Finding(f"{hidden.name}/", 0, problem, mend, "bundle-file")])


def _entries(folder: Path, prefix: str, depth: int = 1) -> Iterator[tuple[str, Path]]:
    """Yields every plain file below a folder, sorted by name; raises BundleRefused for anything else."""
    for entry in sorted(folder.iterdir()):
        path = f"{prefix}{entry.name}"
        mode = entry.lstat().st_mode
        if not PLAIN_NAME.fullmatch(entry.name):
            raise BundleRefused(
                [Finding(path, 0, "the name is not plain", "Use A-Z, a-z, 0-9, '_', '.' and '-'", "bundle-file")]
            )
        if mode & stat.S_IWOTH and not stat.S_ISLNK(mode):
            problem = "everyone may change it, and so decide what is issued"
            raise BundleRefused([Finding(path, 0, problem, "Take that right away: chmod o-w", "bundle-file")])
        if stat.S_ISDIR(mode) and depth < MAX_DEPTH:
            yield from _entries(entry, f"{path}/", depth + 1)
        elif stat.S_ISREG(mode):
            yield path, entry
        elif stat.S_ISDIR(mode):
            raise BundleRefused(
                [Finding(path, 0, f"folders stand over {MAX_DEPTH} deep", "Flatten the bundle", "bundle-size")]
            )
        else:
            problem = "it is a symbolic link or a special file, so what it holds could change unseen"
            raise BundleRefused([Finding(path, 0, problem, "Put the file itself there", "bundle-file")])


def _content(path: str, file: Path, limit: int) -> bytes:
    """Returns what a file holds, at most `limit` bytes."""
    # NOTE: between lstat and open the entry may be swapped: O_NOFOLLOW refuses a link, O_NONBLOCK a waiting pipe.
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as wrong:
        raise BundleRefused(
            [Finding(path, 0, f"it cannot be read: {wrong.strerror}", "Make it readable", "bundle-file")]
        ) from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleRefused(
                [Finding(path, 0, "it is not a plain file", "Put the file itself there", "bundle-file")]
            )
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise BundleRefused(
            [
                Finding(
                    path,
                    0,
                    f"it takes the bundle over its bounds ({limit} bytes left)",
                    "Make it smaller",
                    "bundle-size",
                )
            ]
        )
    return content
