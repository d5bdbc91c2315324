"""Reads an answer of HTTP/1.1 (RFC 9112) strictly: what can be read in two ways is refused."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_HEAD_BYTES: Final = 16 * 1024
_STATUS: Final = re.compile(r"HTTP/1\.([01]) ([2-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?", re.ASCII)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_LENGTH: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,6})(?:;[\t\x20-\x7e]*)?\r\n")
_WITHOUT_BODY: Final = frozenset({204, 304})
_LINE: Final = b"\r\n"
_END: Final = _LINE * 2
_MAX_CHUNK_LINE: Final = 256


class MalformedHttp(ValueError):  # noqa: N818 - named for what it says
    """What came is no answer, or one that two readers could read differently."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `body` is None where it is longer than it may be.

    Only one that `persists` leaves a connection on which the next one can be asked for.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    persists: bool


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before the body, whose `length` is None for a chunked one and -1 for one up to the end."""

    status: int
    headers: Mapping[str, str]
    persists: bool
    length: int | None

    def answer(self, body: bytes | None, *, persists: bool) -> Answer:
        return Answer(self.status, self.headers, body, self.persists and persists)


def answer_in(data: bytearray, *, ended: bool, most: int) -> Answer | None:
    """Returns the answer that the bytes are, None where more of it has to come.

    `ended` says that nothing more will, `most` how long a body may be. Raises MalformedHttp.
    """
    end = data.find(_END)
    if end < 0 and not ended and len(data) <= MAX_HEAD_BYTES:
        return None
    if not 0 <= end <= MAX_HEAD_BYTES:
        raise MalformedHttp("no head, or one that is too long")
    head, start = _head(bytes(data[:end]).decode("latin-1")), end + len(_END)
    found = _chunked(head, data, start, most) if head.length is None else _plain(head, data, start, most, ended=ended)
    if found is None and ended:
        raise MalformedHttp("it ends before its body does")
    return found


def _plain(head: _Head, data: bytearray, start: int, most: int, *, ended: bool) -> Answer | None:
    """Returns an answer whose body is as long as its head says, or ends with the connection."""
    length, here = head.length or 0, len(data) - start
    if max(length, here) > most:
        return head.answer(None, persists=False)
    if length < 0:
        return head.answer(bytes(data[start:]), persists=False) if ended else None
    if here < length:
        return None
    return head.answer(bytes(data[start : start + length]), persists=here == length and not ended)


def _chunked(head: _Head, data: bytearray, start: int, most: int) -> Answer | None:
    """Returns an answer whose body comes in chunks (RFC 9112 7.1); trailers are refused."""
    body, place = bytearray(), start
    while (chunk := _CHUNK.match(data, place)) is not None:
        size, place = int(chunk[1], 16), chunk.end()
        if len(body) + size > most:
            return head.answer(None, persists=False)
        behind = place + size + len(_LINE)
        if len(data) < behind:
            return None
        if data[place + size : behind] != _LINE:
            raise MalformedHttp("a chunk that is longer than it says, or a trailer")
        if not size:
            return head.answer(bytes(body), persists=len(data) == behind)
        body += data[place : place + size]
        place = behind
    if len(data) - place > _MAX_CHUNK_LINE:
        raise MalformedHttp("no length of a chunk")
    return None


def _head(text: str) -> _Head:
    """Returns the head; headers go by their names in lower case."""
    first, *lines = text.split("\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise MalformedHttp("no status line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise MalformedHttp("a header that is none")
        key, value = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    closes = "close" in headers.get("connection", "").lower()
    return _Head(int(status[2]), headers, status[1] == "1" and not closes, _length(int(status[2]), headers))


def _length(status: int, headers: Mapping[str, str]) -> int | None:
    """Returns how long the body is (RFC 9112 6.3), as a head says it."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None and (coding.lower() != "chunked" or length is not None):
        raise MalformedHttp("a coding that is not known, or a length beside it")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise MalformedHttp("a length that is none")
    if status in _WITHOUT_BODY:
        return 0
    if coding is not None:
        return None
    return -1 if length is None else int(length)
