"""What a database holds after a kill, read beside the gateway.

Of SQLite a copy is read, so that the next process finds the files as the kill left them.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.databases import Place, connected

from remit_server.domain.audit import ChainedEvent

Row: TypeAlias = Mapping[str, Any]
_COLUMNS: Final = {
    "tasks": ("task_id", "state", "ended_time", "grants_so_far", "parent_task_id"),
    "delegations": ("actor_id", "request_id", "task_id"),
    "grants": (
        "grant_id",
        "task_id",
        "subject_id",
        "actor_id",
        "policy_revision",
        "state",
        "state_time",
        "expire_time",
        "renewing_time",
        "revoke_time",
        "revocation_id",
        "revoke_cause",
    ),
    "requests": ("actor_id", "request_id", "grant_id"),
    "issuances": ("grant_id", "access_key_id"),
    "revocations": ("revocation_id", "target", "target_key", "revoke_time", "cause", "block", "lift_time"),
    "denies": ("number", "revocation_id", "covers_until", "write_time", "effective_time"),
    "seen_events": ("event_id",),
    "policy_revisions": ("revision",),
    "policy_archives": ("revision", "part"),
    "policy_activations": ("number", "revision", "why", "revocation_id"),
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One audit record: its place, its kind, its time and what it says."""

    sequence: int
    kind: str
    time: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """The tables, the chain and its head."""

    chain: Sequence[ChainedEvent]
    head: tuple[int, str]
    records: Sequence[Recorded]
    tables: Mapping[str, Sequence[Row]]

    def of_kind(self, *kinds: str) -> Iterator[Recorded]:
        """Gives the records of these kinds, in their order."""
        return (record for record in self.records if record.kind in kinds)

    @cached_property
    def grants(self) -> Mapping[str, Row]:
        """The rows of the grants by their ids."""
        return {row["grant_id"]: row for row in self.tables["grants"]}


EMPTY: Final = Snapshot((), (0, "0" * 64), (), dict.fromkeys(_COLUMNS, ()))


def snapshot(place: Place, before: Snapshot = EMPTY) -> Snapshot:
    """Reads everything; records that were read `before` are read again as well, so that one that is gone is missed."""
    with _asking(place) as ask:
        chain = [
            ChainedEvent(number, datetime.fromisoformat(time), *rest)
            for number, time, *rest in ask(
                "SELECT sequence, time, kind, body, previous_hash, event_hash FROM audit_events ORDER BY sequence"
            )
        ]
        known = {record.sequence: record for record in before.records}
        records = [
            known.get(one.sequence) or Recorded(one.sequence, one.kind, one.time.isoformat(), json.loads(one.body_text))
            for one in chain
        ]
        (head,) = ask("SELECT sequence, hash FROM audit_head")
        tables = {
            name: [
                dict(zip(columns, row, strict=True))
                for row in ask(f"SELECT {', '.join(columns)} FROM {name}")  # noqa: S608 - names of ours
            ]
            for name, columns in _COLUMNS.items()
        }
    return Snapshot(chain, (int(head[0]), str(head[1])), records, tables)


@contextmanager
def _asking(place: Place) -> Iterator[Callable[[str], list[Any]]]:
    """Gives what asks the database, over one connection."""
    if isinstance(place, str):
        with closing(connected(place)) as server:
            yield lambda query: server.execute(query.encode()).fetchall()
    else:
        with _as_left(place) as left, closing(sqlite3.connect(left)) as file:
            yield lambda query: file.execute(query).fetchall()


@contextmanager
def _as_left(place: Path) -> Iterator[Path]:
    """Gives a copy of the files of SQLite."""
    copy = place.with_name("as-left.db")
    for suffix in ("", "-wal"):
        if (file := place.with_name(place.name + suffix)).exists():
            shutil.copyfile(file, copy.with_name(copy.name + suffix))
    try:
        yield copy
    finally:
        for suffix in ("", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
