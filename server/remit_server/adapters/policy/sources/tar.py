"""Reads a tar (POSIX.1-2001 ustar and pax, and GNU's long names) by a grammar in which nothing can be misread.

Python's `tarfile` takes a damaged header in the middle for the end, follows sizes that a pax record claims, and knows
sparse files and links. A bundle needs none of it, and what two readers read differently must not decide anything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BLOCK: Final = 512
MAX_HEADERS: Final = 10_000
MAX_NAME_BYTES: Final = 4096
_MAX_END_BYTES: Final = 1024 * 1024  # tars are filled up with zeros to a multiple of their record
_MAX_EXTENSION_BYTES: Final = 16 * 1024
_OCTAL: Final = re.compile(rb" *([0-7]{1,11})[ \0]*")
_ZEROS: Final = bytes(BLOCK)
_USTAR, _GNU = b"ustar\x0000", b"ustar  \0"
# Mode, owner, group, time, and the two numbers of a device.
_UNUSED_NUMBERS: Final = ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345))
_FILES: Final = frozenset({b"0", b"\0"})
_FOLDER, _PAX, _PAX_FOR_ALL, _LONG_NAME = b"5", b"x", b"g", b"L"
# What a pax record may say beside `path`: nothing of it changes which bytes stand under which name.
_HARMLESS: Final = re.compile(
    r"comment|[acm]time|[ug]id|[ug]name|(SCHILY\.(dev|ino|nlink|xattr|fflags)|LIBARCHIVE)(\.[ -~]*)?"
)
_PAX_RECORD: Final = re.compile(rb"([1-9][0-9]{0,4}) ([!-<>-~]{1,255})=")


class MalformedTar(ValueError):  # noqa: N818 - named for what it says
    """The bytes are no tar as this gateway reads it; says why, and behind which member where there is one."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file or a folder of a tar: its name as it stands there, and its bytes, which are not copied."""

    name: str
    is_folder: bool
    content: memoryview


def members(tar: bytes | bytearray) -> Iterator[Member]:
    """Yields what a tar holds, in its order.

    Raises MalformedTar for anything but plain files and folders, a number that is not plain octal, a damaged header,
    an end that is missing, and bytes behind the end.
    """
    view = memoryview(tar).toreadonly()
    place, long_name, last = 0, None, "its start"
    for _ in range(MAX_HEADERS):
        header = bytes(view[place : place + BLOCK])
        if header == _ZEROS:
            break
        kind, size = _checked(header, last)
        content = view[place + BLOCK : place + BLOCK + size]
        if len(content) != size:
            raise MalformedTar(f"it is cut off behind {last}")
        place += BLOCK + -(-size // BLOCK) * BLOCK
        if kind in {_PAX, _PAX_FOR_ALL, _LONG_NAME}:
            long_name = _extension(kind, content, long_name, last)
            continue
        last = _text(long_name if long_name is not None else _name(header), last)
        long_name = None
        yield Member(last, kind == _FOLDER, content)
    else:
        raise MalformedTar(f"it has over {MAX_HEADERS} headers")
    if long_name is not None:
        raise MalformedTar("a long name stands at its end, with no file behind it")
    if not 2 * BLOCK <= len(view) - place <= _MAX_END_BYTES or bytes(view[place:]).strip(b"\0"):
        raise MalformedTar("something else than its end stands where it ends")


def _checked(header: bytes, last: str) -> tuple[bytes, int]:
    """Returns kind and size of a member whose header is whole and sound."""
    if len(header) < BLOCK:
        raise MalformedTar(f"it is cut off behind {last}")
    if header[257:265] not in {_USTAR, _GNU}:
        raise MalformedTar(f"what stands behind {last} is no header of a tar")
    if _number(header[148:156], last) != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise MalformedTar(f"the header behind {last} is damaged")
    _check_unused(header, last)
    kind, size = header[156:157], _number(header[124:136], last)
    if kind not in {*_FILES, _FOLDER, _PAX, _PAX_FOR_ALL, _LONG_NAME}:
        raise MalformedTar(f"a link, a sparse or a special file stands behind {last}")
    if header[157:257].strip(b"\0"):
        raise MalformedTar(f"the file behind {last} names another one, as links do")
    if kind == _FOLDER and size:
        raise MalformedTar(f"a folder behind {last} has contents of its own")
    if kind not in _FILES | {_FOLDER} and size > _MAX_EXTENSION_BYTES:
        raise MalformedTar(f"the extended header behind {last} is too long")
    return kind, size


def _check_unused(header: bytes, last: str) -> None:
    """Raises MalformedTar for a number that nobody needs and nobody can read.

    NOTE: `tarfile` takes the header with such a number for the end of the archive.
    """
    for start, end in _UNUSED_NUMBERS:
        if header[start:end].strip(b" \0"):
            _number(header[start:end], last)


def _number(field: bytes, last: str) -> int:
    """Returns a number in octal; base-256, which can be negative, is refused."""
    found = _OCTAL.fullmatch(field)
    if found is None:
        raise MalformedTar(f"a number in the header behind {last} is not plain octal")
    return int(found.group(1), 8)


def _name(header: bytes) -> bytes:
    """Returns the name in a header, with what stands before it in `prefix` (POSIX ustar only)."""
    name, prefix = _until_nul(header[:100]), _until_nul(header[345:500])
    if prefix and header[257:265] != _USTAR:
        raise MalformedTar("a header of GNU's has a name before its name, which only some readers heed")
    return prefix + b"/" + name if prefix else name


def _until_nul(field: bytes) -> bytes:
    """Returns a field up to its first NUL; bytes behind that are one reader's and not another's."""
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise MalformedTar("a name holds a NUL")
    return text


def _extension(kind: bytes, content: memoryview, long_name: bytes | None, last: str) -> bytes | None:
    """Returns the name that an extended header gives the next file, if any."""
    if long_name is not None:
        raise MalformedTar(f"the file behind {last} is given two long names")
    if kind == _LONG_NAME:
        name = bytes(content)
        if not name.endswith(b"\0"):
            raise MalformedTar(f"the long name behind {last} has no end")
        return _until_nul(name)
    path = _pax_path(bytes(content), last)
    if path is not None and kind == _PAX_FOR_ALL:
        raise MalformedTar(f"an extended header behind {last} gives all files one name")
    return path


def _pax_path(records: bytes, last: str) -> bytes | None:
    """Returns the `path` of pax records, if there is one; raises MalformedTar for what could change a file."""
    path: bytes | None = None
    place = 0
    while place < len(records):
        found = _PAX_RECORD.match(records, place)
        end = place + int(found.group(1)) if found else 0
        if found is None or not found.end() < end <= len(records) or records[end - 1 : end] != b"\n":
            raise MalformedTar(f"an extended header behind {last} is damaged")
        key, value = found.group(2).decode("ascii"), records[found.end() : end - 1]
        if key == "path" and path is None and b"\0" not in value:
            path = value
        elif not _HARMLESS.fullmatch(key):
            raise MalformedTar(f"an extended header behind {last} says {key!r}, which a bundle has no use for")
        place = end
    return path


def _text(name: bytes, last: str) -> str:
    """Returns a member's name as text."""
    if not 0 < len(name) <= MAX_NAME_BYTES:
        raise MalformedTar(f"the file behind {last} has no name, or one over {MAX_NAME_BYTES} bytes")
    return name.decode("utf-8", "backslashreplace")
