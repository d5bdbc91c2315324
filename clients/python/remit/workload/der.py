"""As much of DER as an X509-SVID needs: where certificates end, and when one is over (X.690 8.1, RFC 5280 4.1)."""

import base64
from datetime import UTC, datetime

_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_LONG, _LONGEST = 0x80, 4
_COLUMNS = 64
MOST_CERTIFICATES = 64


def certificates(chain: bytes) -> list[bytes]:
    """Splits certificates that follow each other; raises ValueError for anything else and for none."""
    found: list[bytes] = []
    while chain:
        kind, _, end = _element(chain, 0)
        if kind != _SEQUENCE or len(found) == MOST_CERTIFICATES:
            raise ValueError("not a sequence of certificates in DER")
        found.append(chain[:end])
        chain = chain[end:]
    if not found:
        raise ValueError("no certificate")
    return found


def end_of(certificate: bytes) -> float:
    """Returns a certificate's `notAfter` in seconds since the epoch; raises ValueError."""
    fields = _inside(_inside(certificate, 0), 0)
    place = 0
    kind, _, end = _element(fields, place)
    for _ in range(4 if kind == _VERSION else 3):  # version, serial number, signature algorithm, issuer
        _, _, place = _element(fields, place)
    validity = _inside(fields, place)
    _, _, after_start = _element(validity, 0)
    kind, start, end = _element(validity, after_start)
    return _time(kind, validity[start:end].decode("ascii"))


def pem_of(chain: bytes) -> bytes:
    """Returns certificates in PEM; raises ValueError."""
    return b"".join(_pem("CERTIFICATE", one) for one in certificates(chain))


def pem_of_key(key: bytes) -> bytes:
    """Returns a PKCS #8 key in PEM; raises ValueError for what is none, without repeating it."""
    kind, _, end = _element(key, 0)
    if kind != _SEQUENCE or end != len(key):
        raise ValueError("not a private key in DER")
    return _pem("PRIVATE KEY", key)


def _pem(label: str, content: bytes) -> bytes:
    """Writes PEM (RFC 7468)."""
    text = base64.b64encode(content)
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return b"\n".join([f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----".encode(), b""])


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Returns the tag of the element at a place, and where its contents start and end."""
    if len(data) < at + 2:
        raise ValueError("an element of DER is cut off")
    length, start = data[at + 1], at + 2
    if length >= _LONG:
        count = length - _LONG
        if not 1 <= count <= _LONGEST:
            raise ValueError("an element of DER has no length that DER allows")
        length, start = int.from_bytes(data[start : start + count]), start + count
    if len(data) < start + length:
        raise ValueError("an element of DER is cut off")
    return data[at], start, start + length


def _inside(data: bytes, at: int) -> bytes:
    """Returns what a sequence holds."""
    kind, start, end = _element(data, at)
    if kind != _SEQUENCE:
        raise ValueError("not a certificate in DER")
    return data[start:end]


def _time(kind: int, text: str) -> float:
    """Reads a time; two digits of a year are 1950 to 2049 (RFC 5280 4.1.2.5.1)."""
    if kind == _UTC_TIME:
        text = f"{'20' if text < '50' else '19'}{text}"
    elif kind != _GENERALIZED_TIME:
        raise ValueError("a certificate without times")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
