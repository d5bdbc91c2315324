"""A bundle as one archive, as OPA builds and serves them: a gzipped tar, read within bounds and without trust."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from remit_server.adapters.policy.bundles.bundle_files import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_REGO_BYTES,
    MAX_TOTAL_BYTES,
    PLAIN_NAME,
)
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.sources.tar import MalformedTar, members

MAX_ARCHIVE_BYTES: Final = MAX_TOTAL_BYTES
# What a tar adds to its files: a header of 512 bytes and up to 511 of padding each, and its end.
_MAX_TAR_BYTES: Final = MAX_TOTAL_BYTES + 1024 * (MAX_FILES + 20) + 10_240
_MAX_MEMBERS: Final = 2 * MAX_FILES  # folders count too
_LEVEL: Final = 6
_NO_MEMORY: Final = "Error -4 "  # zlib.h, Z_MEM_ERROR
_CHUNK: Final = 64 * 1024
_ARCHIVE: Final = "archive"
_BUILD: Final = "Make it with `remit-server policy build` or `opa build`"


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

    Takes at most three times the memory that a bundle may have bytes. Raises BundleRefused for what is no single,
    whole, gzipped tar of plain files, for one over its bounds (packed or unpacked), for an odd name, and for paths that
    a disk could not hold side by side: one twice, in two spellings, or both a file and a folder.
    """
    tar = _unpacked(archive)
    files: dict[str, bytes] = {}
    places = _Places()
    room = MAX_TOTAL_BYTES
    try:
        for number, member in enumerate(members(tar)):
            path = _path(member.name, is_folder=member.is_folder)
            if number >= _MAX_MEMBERS or len(files) >= MAX_FILES:
                raise _refused(path, f"the bundle has over {MAX_FILES} files", "Merge data into fewer files")
            places.take(path, is_folder=member.is_folder)
            if member.is_folder:
                continue
            limit = min(room, MAX_REGO_BYTES if path.endswith(".rego") else MAX_FILE_BYTES)
            if len(member.content) > limit:
                raise _refused(path, f"it takes the bundle over its bounds ({limit} bytes left)", "Make it smaller")
            files[path] = bytes(member.content)
            room -= len(member.content)
    except MalformedTar as wrong:
        raise _refused(_ARCHIVE, f"it is no sound tar: {wrong}", _BUILD) from wrong
    return files


class _Places:
    """Knows which paths are taken, on a disk that does not tell `a` from `A`."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, bool, bool]] = {}  # by folded path: path, whether a folder, whether named

    def take(self, path: str, *, is_folder: bool) -> None:
        """Takes a path and the folders above it; raises BundleRefused where they cannot stand beside what is there."""
        steps = path.split("/")
        for number in range(1, len(steps)):
            self._take("/".join(steps[:number]), path, is_folder=True, is_named=False)
        self._take(path, path, is_folder=is_folder, is_named=True)

    def _take(self, place: str, path: str, *, is_folder: bool, is_named: bool) -> None:
        held, held_is_folder, held_is_named = self._taken.get(place.casefold(), (place, is_folder, False))
        if held != place:
            raise _refused(path[:200], f"{held[:200]} is the same path on some disks", "Keep one spelling of each path")
        if held_is_folder != is_folder:
            raise _refused(path[:200], f"{place[:200]} is both a file and a folder", "Keep one of them")
        if held_is_named and is_named:
            raise _refused(path[:200], "it stands in the archive twice", "Keep one file under each path")
        self._taken[place.casefold()] = (place, is_folder, held_is_named or is_named)


def _unsound(wrong: zlib.error) -> Exception:
    """Returns what to raise for a failed unpacking; that memory lacks says nothing of the archive."""
    if str(wrong).startswith(_NO_MEMORY):
        return MemoryError()
    return _refused(_ARCHIVE, "it is no sound gzip", _BUILD)


def _unpacked(archive: bytes) -> bytearray:
    """Returns the tar within; never more than a bundle may be, however well it is packed."""
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise _refused(_ARCHIVE, f"it has over {MAX_ARCHIVE_BYTES} bytes", "Make it smaller")
    inflater = zlib.decompressobj(wbits=31)
    tar = bytearray()
    try:
        for start in range(0, len(archive), _CHUNK):
            if inflater.eof:
                raise _refused(_ARCHIVE, "something stands after its gzip", _BUILD)
            for piece in _inflated(inflater, archive[start : start + _CHUNK]):
                tar += piece
                if len(tar) > _MAX_TAR_BYTES:
                    raise _refused(_ARCHIVE, f"it unpacks to over {MAX_TOTAL_BYTES} bytes", "Make it smaller")
    except zlib.error as wrong:
        raise _unsound(wrong) from wrong
    if not inflater.eof or inflater.unused_data:
        raise _refused(_ARCHIVE, "its gzip is cut off, or something stands after it", _BUILD)
    return tar


def _inflated(inflater: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """Yields what these bytes unpack to, in pieces of a bounded size."""
    while True:
        piece = inflater.decompress(packed, _CHUNK)
        yield piece
        packed = inflater.unconsumed_tail
        # NOTE: past its end the inflater takes nothing more, and its tail stays what it was.
        if inflater.eof or (not packed and len(piece) < _CHUNK):
            return


def _path(name: str, *, is_folder: bool) -> str:
    """Returns the path of a member below the bundle's root: `/a`, `./a` and `a` are one and the same."""
    path = name.removeprefix("./") if name.startswith("./") else name.removeprefix("/")
    if is_folder:
        path = path.removesuffix("/")
        if path in {"", "."}:
            return ""
    steps = path.split("/")
    if len(steps) > MAX_DEPTH or not all(PLAIN_NAME.fullmatch(step) for step in steps):
        mend = f"Use A-Z, a-z, 0-9, '_', '.' and '-', below the bundle's root, at most {MAX_DEPTH} deep"
        raise _refused(ascii(path[:200])[1:-1], "the name is not plain", mend)
    return path


def _refused(path: str, problem: str, mend: str) -> BundleRefused:
    return BundleRefused([Finding(path, 0, problem, mend)])
