"""How a grant is named to AWS: SourceIdentity and the two tags by which its sessions can be denied later."""

import hashlib
import re
from functools import lru_cache
from urllib.parse import unquote

from remit_server.domain.base32 import base32
from remit_server.domain.identity import Actor, Principal

MAX_SOURCE_IDENTITY = 64
GRANT_TAG = "remit:grant"
BY_TAG = "remit:by"
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_.-")
_REMEMBERED = 4096  # half a kilobyte each
_PLAIN_ONLY = re.compile("[A-Za-z0-9@_.-]*", re.ASCII)


def source_identity(principal: Principal) -> str:
    """Returns `<alias>.<id>` in the characters AWS takes (7-aws-facts.md 4.1), injectively.

    Every byte outside `[A-Za-z0-9@_.-]` is written `=XX`; what is longer than 64 characters, or has no `source_id`,
    becomes `<alias>.=h` and 40 base32 characters of SHA-256 over (issuer, subject). `=h` is no `=XX`, so the two forms
    never meet.
    """
    readable = readable_identity(principal.alias, principal.source_id)
    return readable or f"{principal.alias}.=h{_digest(principal.issuer, principal.subject, length=40)}"


def readable_identity(alias: str, source_id: str) -> str | None:
    """Returns the SourceIdentity of whoever has this id, or None where it would be a hash."""
    plain = source_id
    if _PLAIN_ONLY.fullmatch(source_id) is None:
        plain = "".join(chr(b) if b in _PLAIN else f"={b:02X}" for b in source_id.encode())
    readable = f"{alias}.{plain}"
    return readable if plain and len(readable) <= MAX_SOURCE_IDENTITY else None


def source_id_of(alias: str, identity: str) -> str | None:
    """Returns the id that a SourceIdentity of this alias was made of, or None where it is a hash or another's."""
    prefix = f"{alias}."
    if not identity.startswith(prefix):
        return None
    try:
        source_id = unquote(identity.removeprefix(prefix).replace("=", "%"), errors="strict")
    except UnicodeDecodeError:
        return None
    return source_id if readable_identity(alias, source_id) == identity else None


def session_tags(
    principal: Principal, actor: Actor, *, task_id: str, grant_id: str, revision: str
) -> tuple[tuple[str, str], ...]:
    """Returns `remit:grant` = subject.task.grant and `remit:by` = actor.revision, in fixed-length base32 parts.

    One prefix so names all sessions of a subject, a task or a grant (6-lifecycle.md).
    """
    subject = subject_part(principal.issuer, principal.subject)
    by = f"{_digest(actor.issuer, actor.actor_id, length=26)}.{revision_part(revision)}"
    return ((GRANT_TAG, f"{subject}.{task_id}.{grant_id}"), (BY_TAG, by))


def subject_part(issuer: str, subject: str) -> str:
    """Returns what every session of a subject has in common in the tag `remit:grant`."""
    return _digest(issuer, subject, length=26)


def revision_part(revision: str) -> str:
    """Returns what every session of a policy revision has in common in the tag `remit:by`."""
    return _digest(revision, length=26)


@lru_cache(maxsize=_REMEMBERED)  # agents come again and again for the same people, under the same revision
def _digest(*parts: str, length: int) -> str:
    """Returns lower-case base32 of SHA-256 over the length-prefixed parts: no two lists of parts collide by joining."""
    hasher = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        hasher.update(len(raw).to_bytes(8, "big"))
        hasher.update(raw)
    return base32(hasher.digest(), length)
