"""Tells the bundle of one start of the gateway from the same bundle of every other: who planted it could not know."""

import secrets


def new_nonce() -> str:
    """Returns what names one start of a gateway, for all of its workers: 128 random bits in hex."""
    return secrets.token_hex(16)


def served_revision(digest: str, nonce: str) -> str:
    """Returns the revision that OPA is given and must report: the bundle's digest, and the start that served it."""
    return f"{digest}.{nonce}"
