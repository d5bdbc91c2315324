"""What a leak of a secret would show: pieces of it, as they are and in the encodings that software puts texts into."""

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import re2  # type: ignore[import-untyped]

WINDOW = 24
SHORTEST = 16  # a piece of fewer characters is found in places that have nothing to do with it
_BETWEEN = (
    b"\t\n\v\f\r \"'\\+,\0"  # what stands between the parts of a text that was wrapped, or has two bytes a letter
)


def traces_of(secret: str) -> set[bytes]:
    """Returns windows of each part of a secret: near its beginning, out of its middle, its end; raw and encoded.

    A window may begin anywhere: a text that was cut, or wrapped at any length of line, still has one of them. A token's
    header is no secret, and neither is what its payload says: its spelling is.
    """
    spelt = {trace for piece in _pieces(secret) for window in _windows(piece) for trace in _spelt(window)}
    return spelt | {trace.translate(None, _BETWEEN) for trace in spelt}  # as they are in a text that is joined again


def _pieces(secret: str) -> Iterator[bytes]:
    parts = secret.split(".")
    yield from (part.encode() for part in (parts[1:] if len(parts) == 3 else [secret]) if len(part) >= SHORTEST)


def _windows(piece: bytes) -> Iterator[bytes]:
    if len(piece) <= WINDOW:
        yield piece
        return
    for begin in (min(len(piece) // 3, 2), len(piece) // 3, len(piece) // 2, len(piece) - WINDOW):
        yield piece[min(begin, len(piece) - WINDOW) :][:WINDOW]


def _spelt(window: bytes) -> Iterator[bytes]:
    """Yields a window as it is and encoded, as it is and for a URL."""
    yield window[::-1]
    yield from _encoded(window)
    if (escaped := quote(window, safe="").encode()) != window:
        yield from _encoded(escaped)
        yield escaped.lower()


def _encoded(text: bytes) -> Iterator[bytes]:
    """Yields a text as it is, in hexadecimal, and of base64 the part that does not depend on what stands around it."""
    yield text
    yield binascii.hexlify(text)
    yield binascii.hexlify(text).upper()
    for offset in range(3):
        encoded = base64.b64encode(b"x" * offset + text)
        whole = encoded[4 if offset else 0 :].rstrip(b"=")[:-2]
        yield whole
        yield whole.translate(bytes.maketrans(b"+/", b"-_"))


def private_part(pem: str) -> str:
    """Returns what of a PKCS #8 key in PEM is secret: of RSA the primes at its end, of a curve the number itself."""
    body = "".join(pem.splitlines()[1:-1])
    if len(body) > 1000:  # RSA: the modulus comes first
        return body[-300:-20]
    return body[48:88] if len(body) > 100 else body[24:]  # P-256, which its public key ends; Ed25519


@dataclass
class Canaries:
    """Secrets by what they are; `found_in` says of which a text holds a trace."""

    _named: dict[str, str] = field(default_factory=dict)
    _searched: tuple[int, Mapping[bytes, str], Any] = (0, {}, None)

    def __len__(self) -> int:
        return len(self._named)

    def note(self, value: str, what: str) -> str:
        """Notes a secret and returns it."""
        self._named.setdefault(value, what)
        return value

    @property
    def kinds(self) -> set[str]:
        """What secrets there are."""
        return set(self._named.values())

    def of_kind(self, what: str) -> str:
        """Returns one of a kind."""
        return next(value for value, kind in self._named.items() if kind == what)

    def found_in(self, texts: Mapping[str, bytes]) -> list[str]:
        """Returns which of the texts hold which kinds of secrets, and after what."""
        kinds, search = self._search()
        found = set()
        for name, text in texts.items():
            for form in (text, text.translate(None, _BETWEEN)):
                for hit in search.finditer(form):
                    before = form[max(0, hit.start() - 60) : hit.start()].decode(errors="replace")
                    found.add(f"{name}: {kinds[bytes(hit.group())]}, after {before!r}")
        return sorted(found)

    def _search(self) -> tuple[Mapping[bytes, str], Any]:
        """Returns which trace is of which kind, and what looks for all of them: made once for as many secrets."""
        if self._searched[0] != len(self._named):
            kinds = {trace: kind for value, kind in self._named.items() for trace in traces_of(value)}
            self._searched = (len(self._named), kinds, _search(kinds))
        return self._searched[1:]


def _search(traces: Iterable[bytes]) -> Any:
    options = re2.Options()
    options.max_mem = 1 << 30
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(b"|".join(re.escape(trace) for trace in traces), options)


def put_secret(folder: Path, canaries: Canaries, what: str, value: str | None = None) -> str:
    """Puts a secret, made up unless it is given, into a file of its own within `secrets`; returns its path."""
    text = canaries.note(value or secrets.token_urlsafe(30), what)
    place = folder / "secrets"
    place.mkdir(mode=0o700, exist_ok=True)
    file = place / "".join(letter if letter.isalnum() else "-" for letter in what)
    file.touch(0o600)
    file.write_text(text)
    return str(file)
