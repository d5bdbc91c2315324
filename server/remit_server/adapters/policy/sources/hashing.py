"""Computes the digest of a bundle's file as OPA does for its signatures: structured files by their values.

OPA: v1/bundle/hash.go. A number of JSON text counts as it is written there, one of YAML as Go writes a 64-bit float.
"""

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final

from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.adapters.strict_yaml import strict_yaml

ALGORITHM: Final = "SHA-256"
_YAML: Final = frozenset({"data.yaml", "data.yml"})
_STRUCTURED: Final = frozenset({"data.json", ".manifest"}) | _YAML
# What Go's encoder writes in another way than Python's.
_AS_GO: Final = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})
_SMALLEST_PLAIN, _SMALLEST_SCIENTIFIC = 1e-6, 1e21


def signed_digest(path: str, content: bytes) -> str:
    """Returns the digest, in hex, under which a signature lists a file.

    Raises ValueError (MalformedJson, MalformedYaml) for a structured file that this gateway would not read.
    """
    if PurePosixPath(path).name in _STRUCTURED:
        try:
            content = _canonical(path, content.decode("utf-8")).encode("utf-8")
        except RecursionError:
            raise ValueError("nested too deeply") from None
    return hashlib.sha256(content).hexdigest()


def _canonical(path: str, text: str) -> str:
    """Returns the one text of a structured file's values: keys sorted, nothing between them."""
    try:
        value = strict_json(text, max_characters=len(text))
    except MalformedJson:
        if PurePosixPath(path).name not in _YAML:
            raise
        value = strict_yaml(text, lines_to_depth=0)[0]
        return "".join(_go_text(value))
    written = _Written()
    literal = json.loads(text, parse_float=written.number, parse_int=written.number)
    if not written.is_odd:
        return _compact(value)
    return "".join(_go_text(literal))


class _Number(str):
    """A number of JSON text as it is written."""

    __slots__ = ()


class _Written:
    """Notes whether a number is written otherwise than Python writes it; mostly none is, and the fast way will do."""

    def __init__(self) -> None:
        self.is_odd = False

    def number(self, text: str) -> _Number:
        self.is_odd = self.is_odd or "." in text or "e" in text or "E" in text or text == "-0"
        return _Number(text)


def _go_text(value: Any) -> Iterator[str]:
    """Yields the pieces of a value's text as Go's encoder writes it."""
    if isinstance(value, _Number):
        yield str(value)
    elif isinstance(value, dict):
        yield "{"
        for place, (key, member) in enumerate(sorted(value.items())):
            yield f"{',' if place else ''}{_compact(key)}:"
            yield from _go_text(member)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for place, item in enumerate(value):
            yield "," if place else ""
            yield from _go_text(item)
        yield "]"
    else:
        yield _go_float(value) if isinstance(value, float) else _compact(value)


def _compact(value: Any) -> str:
    """Returns JSON text without spaces, keys sorted, characters as Go's encoder writes them."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.translate(_AS_GO)


def _go_float(number: float) -> str:
    """Returns a float as encoding/json writes it: plain between 1e-6 and 1e21, with the shortest digits."""
    shortest = repr(number)
    if number and not _SMALLEST_PLAIN <= abs(number) < _SMALLEST_SCIENTIFIC:
        mantissa, _, exponent = shortest.removesuffix(".0").partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"
    plain = format(Decimal(shortest), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
