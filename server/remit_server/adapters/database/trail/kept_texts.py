"""Holds the texts that are kept beside the chain to the digests under which records name them, and counts them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Subquery, func, select, union

from remit_server.adapters.database.schema.json_text import named_digest
from remit_server.adapters.database.schema.tables import audit_events, audit_texts
from remit_server.domain.audit import ChainBroken

PAGE: Final = 500
# What is kept of a decision, by the keys under which records name its digest.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("input_digest",),
    "circumstances": ("circumstances_digest",),
    "decision": ("decision_digest",),
    "ceilings": ("ceiling_digest", "ceilings_digest"),
}
_TOLD: Final = {
    "input": "the input it was decided on",
    "circumstances": "the circumstances it was decided under",
    "decision": "the decision that policy gave",
    "ceilings": "the ceilings it was decided under",
}
_TEXTS: Final = select(audit_texts.c.digest, audit_texts.c.text)


@dataclass(frozen=True, slots=True)
class Kept:
    """How many distinct texts of one sort the records name, and how many of those are still kept beside them."""

    named: int
    kept: int


@dataclass(frozen=True, slots=True)
class InputsKept(Kept):
    """How many inputs of decisions are kept, and of what else there is of decisions, by its sort."""

    others: Mapping[str, Kept] = field(default_factory=dict)


def wrong_text(connection: Connection) -> ChainBroken | None:
    """Names the record a text of which was changed. One that was erased is no change: texts stand outside the chain."""
    with connection.execute(_TEXTS.execution_options(yield_per=PAGE)) as texts:
        for digest, text in texts:
            actual = hashlib.sha256(str(text).encode("utf-8", "surrogateescape")).hexdigest()
            found = None if actual == digest else _naming(connection, (str(digest), actual))
            if found is not None:
                return found
    return None


def texts_kept(connection: Connection) -> InputsKept:
    """Returns how many texts the records name, and how many are kept."""
    counts = {sort: Kept(*_counted(connection, keys)) for sort, keys in KEYS.items()}
    inputs = counts.pop("input")
    return InputsKept(inputs.named, inputs.kept, counts)


def _counted(connection: Connection, keys: tuple[str, ...]) -> tuple[int, int]:
    named = _named(keys)
    joined = named.outerjoin(audit_texts, audit_texts.c.digest == named.c.digest)
    query = select(func.count(named.c.digest), func.count(audit_texts.c.digest)).select_from(joined)
    names, kept = connection.execute(query).one()
    return int(names), int(kept)


def _named(keys: tuple[str, ...]) -> Subquery:
    """Returns the distinct digests that records name under these keys."""
    digests = [named_digest(audit_events.c.body, key).label("digest") for key in keys]
    return union(*(select(digest).where(digest != "").distinct() for digest in digests)).subquery()


def _naming(connection: Connection, digests: tuple[str, str]) -> ChainBroken | None:
    """Names the first record that names one of the digests, and what of it was changed."""
    for digest in digests:
        query = (
            select(audit_events.c.sequence, audit_events.c.body)
            .where(audit_events.c.body.contains(digest, autoescape=True))
            .order_by(audit_events.c.sequence)
            .limit(1)
        )
        row = connection.execute(query).first()
        if row is not None:
            return ChainBroken(row[0], f"{_sort_of(str(row[1]), digest)} is not what was recorded")
    return None


def _sort_of(body: str, digest: str) -> str:
    """Returns what a digest is of, in a record that names it."""
    return next(
        (_TOLD[sort] for sort, keys in KEYS.items() if any(f'"{key}":"{digest}"' in body for key in keys)),
        "a text that it names",
    )
