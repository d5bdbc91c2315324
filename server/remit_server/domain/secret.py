"""A value that must never be printed."""

import hashlib
from dataclasses import dataclass, field
from typing import NoReturn


def fingerprint_of(value: str) -> str:
    """Returns how a token appears in logs and records: the first 16 bytes of its SHA-256, as 32 hex digits."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()[:16].hex()


@dataclass(frozen=True, slots=True, eq=False)
class Secret:
    """Holds a token or a key; prints as `***`, never compares, and cannot be pickled.

    Only `reveal()` gives the value back, so that a search for that word finds every place a secret leaves.
    """

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """Returns the value itself: for the one call that needs it, never for a message."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """The first 16 bytes of SHA-256 over the value, as 32 hex digits."""
        return fingerprint_of(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret does not leave its process")
