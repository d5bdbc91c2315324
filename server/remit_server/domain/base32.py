"""Base32 (RFC 4648 6) in lower case, without padding: how ids and digests are written in names."""

from typing import Final

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]
_PAIR_BITS: Final = 10


def base32(raw: bytes, length: int) -> str:
    """Returns the first `length` characters, an even number of them, that the bytes are enough for.

    `base64.b32encode` makes the same of all of the bytes in three times the steps.
    """
    bits = length // 2 * _PAIR_BITS
    excess = len(raw) * 8 - bits
    if length % 2 or excess < 0:
        raise ValueError("not an even number of characters, or more than the bytes are enough for")
    number = int.from_bytes(raw, "big") >> excess
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(bits - _PAIR_BITS, -1, -_PAIR_BITS)])
