"""Signs checkpoints with Ed25519, and reads them back: strictly, and none that is not signed by the one key."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from remit_server.adapters.strict_fields import Malformed, members, whole
from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.domain.checkpoint import FORMAT, Checkpoint

MAX_LINE: Final = 1024
_MEMBERS: Final = frozenset({"format", "count", "head", "time", "key", "signature"})
_MOST_RECORDS: Final = 1 << 53
_HEX_DIGITS: Final = 64


class KeyRefused(ValueError):  # noqa: N818 - named for what it says
    """The file holds no Ed25519 key of this kind."""


class CheckpointRefused(ValueError):  # noqa: N818 - named for what it says
    """A line is no checkpoint that this key signed: which line, and why."""


class CheckpointSigner:
    """Signs checkpoints with the private key of a PEM file."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._name = key_name(key.public_key())

    @classmethod
    def of(cls, file: Path) -> "CheckpointSigner":
        """Reads the key; raises OSError and KeyRefused."""
        try:
            key = serialization.load_pem_private_key(file.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyRefused(f"{file} holds no private key in PEM without a passphrase") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyRefused(f"{file} holds another key than Ed25519: make one by `openssl genpkey -algorithm ed25519`")
        return cls(key)

    def line(self, checkpoint: Checkpoint) -> str:
        """Returns a checkpoint as one line of JSON with its signature."""
        text = checkpoint.text(self._name)
        signature = base64.b64encode(self._key.sign(text.encode())).decode()
        return json.dumps({**json.loads(text), "signature": signature}, sort_keys=True)


def public_key_of(file: Path) -> Ed25519PublicKey:
    """Reads a public key in PEM; raises OSError and KeyRefused."""
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused(f"{file} holds no public key in PEM: make it by `openssl pkey -in KEY -pubout`") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyRefused(f"{file} holds another key than Ed25519")
    return key


def key_name(key: Ed25519PublicKey) -> str:
    """Returns the fingerprint of a key: the first 16 bytes of SHA-256 over its bytes, hex."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:32]


def checkpoints_in(lines: Iterable[str], key: Ed25519PublicKey) -> list[Checkpoint]:
    """Returns the checkpoints of a file in their order; raises CheckpointRefused for any line that is none.

    NOTE: two that name different heads for one count are both signed by a gateway whose chain was changed in between;
    they are refused too.
    """
    found: list[Checkpoint] = []
    heads: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            checkpoint = _checkpoint(line, key)
        except (Malformed, MalformedJson, InvalidSignature, ValueError) as wrong:
            why = "its signature is not that key's" if isinstance(wrong, InvalidSignature) else str(wrong)
            raise CheckpointRefused(f"line {number} is no checkpoint signed by this key: {why}") from None
        if heads.setdefault(checkpoint.count, checkpoint.head) != checkpoint.head:
            raise CheckpointRefused(f"line {number} names another record {checkpoint.count} than a line before it")
        found.append(checkpoint)
    return found


def _checkpoint(line: str, key: Ed25519PublicKey) -> Checkpoint:
    """Returns the checkpoint of a line, once its signature is checked over the text that it is made of anew."""
    raw: dict[str, Any] = members(strict_json(line, max_characters=MAX_LINE), (), required=_MEMBERS)
    whole(raw["format"], ("format",), least=FORMAT, most=FORMAT)
    count = whole(raw["count"], ("count",), least=0, most=_MOST_RECORDS)
    if not all(isinstance(raw[name], str) for name in ("head", "time", "key", "signature")):
        raise Malformed((), "head, time, key and signature must be texts")
    if len(raw["head"]) != _HEX_DIGITS:
        raise Malformed(("head",), "must be 64 hex digits")
    checkpoint = Checkpoint(count, raw["head"], datetime.fromisoformat(raw["time"]))
    try:
        signature = base64.b64decode(raw["signature"], validate=True)
    except binascii.Error:
        raise Malformed(("signature",), "must be base64") from None
    key.verify(signature, checkpoint.text(key_name(key)).encode())
    return checkpoint
