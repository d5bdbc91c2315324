"""A bundle as one archive, as OPA builds and serves them: a gzipped tar, read within bounds and without trust."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from typing import Final

from remit_server.adapters.policy.bundle_files import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_REGO_BYTES,
    MAX_TOTAL_BYTES,
    PLAIN_NAME,
)
from remit_server.adapters.policy.findings import BundleRefused, Finding

MAX_ARCHIVE_BYTES: Final = MAX_TOTAL_BYTES
# What a tar adds to its files: a header of 512 bytes and up to 511 of padding each, and its end.
_MAX_TAR_BYTES: Final = MAX_TOTAL_BYTES + 1024 * (MAX_FILES + 20) + 10_240
_LEVEL: Final = 6


def archive_of_files(files: Mapping[str, bytes]) -> bytes:
    """Returns files (by path) as an archive: equal files make equal bytes, whenever and wherever that is done."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(f"/{path}")  # as `opa build` names them
            member.size = len(content)
            member.mode = 0o600
            tar.addfile(member, io.BytesIO(content))  # time, owner and group stay 0 and empty
    return gzip.compress(packed.getvalue(), compresslevel=_LEVEL, mtime=0)


def files_of_archive(archive: bytes) -> dict[str, bytes]:
    """Returns path (relative, with `/`) and content of every file of an archive.

    Raises BundleRefused for what is no gzipped tar, is over its bounds once unpacked, holds a link, a special file, an
    odd name, or a path twice.
    """
    tar = io.BytesIO(_unpacked(archive))
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=tar, mode="r:") as members:
            for member in members:
                path = _path(member)
                if member.isdir():
                    continue
                if path in files:
                    raise _refused(path, "it stands in the archive twice", "Keep one file under each path")
                if len(files) >= MAX_FILES:
                    raise _refused(path, f"the bundle has over {MAX_FILES} files", "Merge data into fewer files")
                files[path] = _content(members, member, path)
    except (tarfile.TarError, EOFError, OSError, ValueError, UnicodeError) as wrong:
        if isinstance(wrong, BundleRefused):
            raise
        raise _refused("archive", "it is no sound tar", _BUILD) from wrong
    return files


_BUILD: Final = "Make it with `opa build --bundle` or `remit-server policy publish --bundle FOLDER`"


def _unpacked(archive: bytes) -> bytes:
    """Returns the tar within; never more than a bundle may be, however well it is packed."""
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise _refused("archive", f"it has over {MAX_ARCHIVE_BYTES} bytes", "Make it smaller")
    inflater = zlib.decompressobj(wbits=31)
    try:
        tar = inflater.decompress(archive, _MAX_TAR_BYTES)
        rest = inflater.unconsumed_tail or (not inflater.eof and inflater.decompress(b"", 1))
    except zlib.error as wrong:
        raise _refused("archive", "it is no gzip", _BUILD) from wrong
    if rest:
        raise _refused("archive", f"it unpacks to over {MAX_TOTAL_BYTES} bytes", "Make it smaller")
    if not inflater.eof or inflater.unused_data:
        raise _refused("archive", "its gzip is cut off, or something stands after it", _BUILD)
    return tar


def _path(member: tarfile.TarInfo) -> str:
    """Returns the path of a member below the bundle's root."""
    path = member.name.removeprefix("./").strip("/")
    if not (member.isreg() or member.isdir()):
        raise _refused(path[:200], "it is a link or a special file", "Put the file itself there")
    steps = path.split("/") if path not in {"", "."} else []
    if len(steps) > MAX_DEPTH or not all(PLAIN_NAME.fullmatch(step) for step in steps):
        raise _refused(path[:200], "the name is not plain", "Use A-Z, a-z, 0-9, '_', '.' and '-'")
    return path


def _content(members: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bytes:
    """Returns what a file of the archive holds."""
    limit = MAX_REGO_BYTES if path.endswith(".rego") else MAX_FILE_BYTES
    if member.size > limit:
        raise _refused(path, f"it has over {limit} bytes", "Make it smaller")
    opened = members.extractfile(member)
    if opened is None:
        raise _refused(path, "it is not a plain file", "Put the file itself there")
    return opened.read()


def _refused(path: str, problem: str, mend: str) -> BundleRefused:
    return BundleRefused([Finding(path, 0, problem, mend)])
