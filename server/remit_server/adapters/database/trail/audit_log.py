"""Reads the audit trail back: lists it page by page, and verifies its chain in one pass."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, Text, select, type_coerce
from sqlalchemy.exc import DBAPIError

from remit_server.adapters.database.engine import Database, open_for_reading
from remit_server.adapters.database.engine.unreadable import unreadable
from remit_server.adapters.database.schema.tables import audit_events, audit_head, utc_time
from remit_server.adapters.database.trail.checkpointed import wrong_by_checkpoints
from remit_server.adapters.database.trail.kept_texts import InputsKept, texts_kept, wrong_text
from remit_server.domain.audit import ChainBroken, ChainedEvent, ChainIntact, verify_chain

PAGE = 500
_sequence = audit_events.c.sequence

_EVENTS = select(
    audit_events.c.sequence,
    type_coerce(audit_events.c.time, Text),
    audit_events.c.kind,
    audit_events.c.body,
    audit_events.c.previous_hash,
    audit_events.c.event_hash,
    audit_events.c.task_id,
)
_HEAD = select(audit_head.c.sequence, audit_head.c.hash).where(audit_head.c.id == 1)


class UnreadableRecord(Exception):  # noqa: N818 - named for what it says
    """A row that the ledger did not write: its place in the chain and what is wrong with it."""

    def __init__(self, sequence: int, what: str) -> None:
        super().__init__(f"record {sequence}: {what}")
        self.sequence = sequence
        self.what = what


class AuditLog:
    """Reads the audit trail of an open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(
        self,
        *,
        task_id: str | None = None,
        kind: str | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[ChainedEvent]:
        """Gives the records of this task and kind in their order, holding one page of them at a time.

        Raises UnreadableRecord at a row that the ledger did not write.
        """
        pages = _Pages(task_id, kind, newest_first=newest_first, limit=limit)
        while not pages.done:
            for event in await self._database.read(pages.following):
                yield event

    async def verify(self) -> ChainIntact | ChainBroken:
        """Verifies the whole chain of this database at one point in time."""
        return await self._database.read(_verify)


def events(
    url: str | Path,
    *,
    password_file: Path | None = None,
    task_id: str | None = None,
    kind: str | None = None,
    newest_first: bool = False,
    limit: int | None = None,
    after: int | None = None,
) -> Iterator[ChainedEvent]:
    """Gives the records of a database, or of a copy of one, as `AuditLog.events` does, without writing to it.

    With `after` they begin behind that place in the chain.

    Raises DatabaseRefused when it is not there or not a ledger.
    """
    database = open_for_reading(url, password_file=password_file)
    pages = _Pages(task_id, kind, newest_first=newest_first, limit=limit, after=after)
    try:
        while not pages.done:
            yield from database.read_now(pages.following)
    except DBAPIError as error:
        raise unreadable(error) from error
    finally:
        database.close_now()


def verify(url: str | Path, *, password_file: Path | None = None) -> ChainIntact | ChainBroken:
    """Verifies the chain of a database, or of a copy of one, without writing to it; names the first bad record.

    Raises DatabaseRefused when it is not there or not a ledger.
    """
    database = open_for_reading(url, password_file=password_file)
    try:
        return database.read_now(_verify)
    finally:
        database.close_now()


def verify_with_inputs(
    url: str | Path, *, password_file: Path | None = None, checkpoints: Mapping[int, str] | None = None
) -> tuple[ChainIntact | ChainBroken, InputsKept | None]:
    """Verifies as `verify` does, and counts the texts at the same point in time; None when the chain is broken.

    `checkpoints` are hashes of records, by their place, that were kept elsewhere: the chain must have these very ones.
    Raises DatabaseRefused when it is not there or not a ledger.
    """
    database = open_for_reading(url, password_file=password_file)
    try:
        return database.read_now(partial(_verify_and_count, checkpoints or {}))
    except DBAPIError as error:
        raise unreadable(error) from error
    finally:
        database.close_now()


class _Pages:
    """Walks the records of a task and a kind, one page at a time."""

    def __init__(
        self, task_id: str | None, kind: str | None, *, newest_first: bool, limit: int | None, after: int | None = None
    ) -> None:
        query = _EVENTS
        if task_id is not None:
            query = query.where(audit_events.c.task_id == task_id)
        if kind is not None:
            query = query.where(audit_events.c.kind == kind)
        self._query = query.order_by(_sequence.desc() if newest_first else _sequence)
        self._newest_first = newest_first
        self._left = limit
        self._last = after
        self.done = limit == 0

    def following(self, connection: Connection) -> list[ChainedEvent]:
        """Reads the next page, and notes whether there may be more."""
        query, size = self._query, PAGE if self._left is None else min(PAGE, self._left)
        if self._last is not None:
            query = query.where(_sequence < self._last if self._newest_first else _sequence > self._last)
        page = [_event(row) for row in connection.execute(query.limit(size))]
        if page:
            self._last = page[-1].sequence
        if self._left is not None:
            self._left -= len(page)
        self.done = len(page) < size or self._left == 0
        return page


def _verify(connection: Connection) -> ChainIntact | ChainBroken:
    """Walks the chain up to its head row, then the texts that stand beside it."""
    try:
        head = connection.execute(_HEAD).first()
    except DBAPIError as error:
        raise unreadable(error) from error
    count, hash_ = (None, None) if head is None else head
    if head is not None and not (isinstance(count, int) and isinstance(hash_, str)):
        return ChainBroken(0, "the recorded head of the chain is not what the ledger writes")
    try:
        verdict = verify_chain(_walk(connection), expected_count=count, expected_head=hash_, complete=True)
    except UnreadableRecord as error:
        return ChainBroken(error.sequence, error.what)
    if isinstance(verdict, ChainIntact) and head is None:
        return ChainBroken(verdict.count + 1, "the recorded head is gone, so records may be missing from here on")
    return (wrong_text(connection) or verdict) if isinstance(verdict, ChainIntact) else verdict


def _verify_and_count(
    checkpoints: Mapping[int, str], connection: Connection
) -> tuple[ChainIntact | ChainBroken, InputsKept | None]:
    verdict = wrong_by_checkpoints(checkpoints, connection) or _verify(connection)
    if isinstance(verdict, ChainBroken):
        return verdict, None
    return verdict, texts_kept(connection)


def _walk(connection: Connection) -> Iterator[ChainedEvent]:
    """Gives every record from the first, one page at a time; a page that cannot be read is read record by record."""
    place, size, query = 0, PAGE, _EVENTS.order_by(_sequence)
    while True:
        # The first page has no lower bound: what was put before the first record must be seen.
        after = query.where(_sequence > place) if place else query
        try:
            rows = _rows(connection, after.limit(size))
        except DBAPIError as error:
            if size == 1:
                raise UnreadableRecord(place + 1, f"it cannot be read: {error.orig}") from error
            size = 1
            continue
        for row in rows:
            place += 1
            if row[0] != place:
                raise UnreadableRecord(place, f"it is missing or out of order: record {row[0]} stands in its place")
            yield _event(row)
        if len(rows) < size:
            return


def _rows(connection: Connection, query: Select[Any]) -> Sequence[Row[Any]]:
    """Reads rows so that reading goes on after a failure: PostgreSQL ends a transaction that is not told where to."""
    if connection.dialect.name == "sqlite":
        return connection.execute(query).all()
    with connection.begin_nested():
        return connection.execute(query).all()


def _event(row: Row[Any]) -> ChainedEvent:
    """Returns the event of a row; raises UnreadableRecord for anything that the ledger would not have written so."""
    sequence, time, kind, body, previous_hash, event_hash, task_id = tuple(row)
    if not all(isinstance(text, str) for text in (time, kind, body, previous_hash, event_hash, task_id)):
        raise UnreadableRecord(sequence, "its content is not what was recorded: a value is not text")
    event = ChainedEvent(sequence, _time(sequence, time), kind, body, previous_hash, event_hash)
    if task_id != _task_of(body):
        raise UnreadableRecord(sequence, "the task it is filed under is not the one it tells of")
    return event


def _time(sequence: int, text: str) -> datetime:
    try:
        return utc_time(text)
    except ValueError as error:
        raise UnreadableRecord(sequence, "its time is not what was recorded") from error


def _task_of(body: str) -> str | None:
    """Returns the task that a record tells of, empty when of none; None when it is no record."""
    try:
        record = json.loads(body)
    except ValueError:
        return None
    task_id = record.get("task_id", "") if isinstance(record, dict) else None
    return task_id if isinstance(task_id, str) else None
