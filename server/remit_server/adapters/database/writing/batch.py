"""One transaction of the ledger: what its operations share, and the records they append to the chain."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.schema.approval_tables import notifications
from remit_server.adapters.database.schema.tables import audit_events, audit_head, audit_texts, signals
from remit_server.adapters.database.writing.prepared import Prepared, run_text
from remit_server.application.ports import Clock
from remit_server.domain.audit import AuditRecord, ChainedEvent, bounded, chained
from remit_server.domain.decision import KeptText, canonical_json
from remit_server.domain.errors import RemitError
from remit_server.domain.notification import NotificationKind, told_of

T = TypeVar("T")

CHANNEL = "remit_signals"
_LOCK_HEAD = Prepared(select(audit_head.c.sequence, audit_head.c.hash).where(audit_head.c.id == 1).with_for_update())
_MOVE_HEAD = Prepared(
    update(audit_head)
    .where(audit_head.c.id == 1, audit_head.c.sequence == bindparam("from_sequence"))
    .values(sequence=bindparam("to_sequence"), hash=bindparam("to_hash"))
)
_ADD_EVENT = Prepared(insert(audit_events), copied=True)
_ADD_SIGNAL = Prepared(insert(signals), copied=True)
_ADD_NOTICE = Prepared(
    insert(notifications),
    columns=("receiver", "kind", "body", "create_time", "next_time", "attempts", "deliver_time"),
)
KEPT_ANEW_AFTER = timedelta(days=1)  # what is used again is kept longer; that is written once a day, not at each use
_insert_text = insert(audit_texts)
_ADD_TEXT = Prepared(
    _insert_text.on_conflict_do_update(
        index_elements=["digest"],
        set_={"time": _insert_text.excluded.time},
        where=audit_texts.c.time < bindparam("kept_before"),
    ),
    columns=("digest", "text", "time"),
)


@dataclass(slots=True)
class Batch:
    """The transaction that a batch's operations share: `now` is its one time, `records` what they append, in order.

    A long operation says with `gets_on` that it is slow rather than stuck. What ended before `over_before` is over:
    `now`, but nothing is while the clock was stepped and has not settled.
    """

    connection: Connection
    now: datetime
    gets_on: Callable[[], None] = lambda: None
    is_settled: bool = True
    records: list[AuditRecord] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def over_before(self) -> datetime:
        """Until when what has ended is taken for over."""
        return self.now if self.is_settled else datetime.min.replace(tzinfo=UTC)

    def append(self, *records: AuditRecord) -> None:
        """Appends records to the chain when the batch is committed."""
        self.records.extend(records)

    def keep(self, texts: Iterable[KeptText]) -> None:
        """Keeps texts beside the chain, by their digests."""
        for text in texts:
            self.texts[text.digest] = text.text


Operation = Callable[[Batch], T | RemitError]


@dataclass(frozen=True, slots=True)
class Written:
    """What a transaction did: the results of its operations, in their order, and what was recorded."""

    results: list[Any]
    records: list[AuditRecord]


def write_batch(
    operations: Sequence[Operation[Any]],
    clock: Clock,
    gets_on: Callable[[], None],
    is_settled: Callable[[], bool],
    connection: Connection,
) -> Written:
    """Runs the operations in their order and appends what they recorded."""
    locked = _LOCK_HEAD.first(connection, {})
    if locked is None:
        raise RuntimeError("the audit chain has no head")
    sequence, head = locked["sequence"], locked["hash"]
    now = clock.now()  # after the lock was waited for: what is over by now is over
    batch = Batch(connection, now, gets_on, is_settled())
    results = []
    for operation in operations:
        results.append(operation(batch))
        gets_on()  # a large batch is slow, and not stuck
    if batch.texts:
        _ADD_TEXT.run_each(connection, [_text_row(digest, text, now) for digest, text in batch.texts.items()])
    if batch.records:
        rows = []
        for place, record in enumerate(batch.records, start=sequence + 1):
            event = chained(record, sequence=place, time=now, previous_hash=head)
            rows.append(_event_row(event, record))
            head = event.event_hash
        _ADD_EVENT.run_each(connection, rows)
        if heard := [_signal_row(row) for row, record in zip(rows, batch.records, strict=True) if record.signals]:
            _ADD_SIGNAL.run_each(connection, heard)
            _ring(connection, sequence + len(rows))
        _tell(connection, rows, batch.records)
        moved = {"from_sequence": sequence, "to_sequence": sequence + len(rows), "to_hash": head}
        if _MOVE_HEAD.run(connection, moved) != 1:
            raise RuntimeError("the head of the audit chain moved under its lock")
    return Written(results, batch.records)


def _text_row(digest: str, text: str, now: datetime) -> dict[str, Any]:
    """Returns a text that is kept as its row."""
    return {"digest": digest, "text": text, "time": now, "kept_before": now - KEPT_ANEW_AFTER}


def _ring(connection: Connection, sequence: int) -> None:
    """Has PostgreSQL tell the other processes at the commit that there is something to read."""
    if connection.dialect.name == "postgresql":
        run_text(connection, f"NOTIFY {CHANNEL}, '{sequence}'")


def _event_row(event: ChainedEvent, record: AuditRecord) -> dict[str, Any]:
    """Returns an event as its row; the task it belongs to is copied out for looking up."""
    return {
        "sequence": event.sequence,
        "time": event.time,
        "kind": event.kind,
        "body": event.body_text,
        "previous_hash": event.previous_hash,
        "event_hash": event.event_hash,
        "task_id": bounded(getattr(record, "task_id", "")),
    }


def _tell(connection: Connection, rows: list[dict[str, Any]], records: list[AuditRecord]) -> None:
    """Puts what people are told of into the outbox."""
    found = [(row, record, told_of(record)) for row, record in zip(rows, records, strict=True)]
    if told := [_notice_row(row, record, kind) for row, record, kind in found if kind is not None]:
        _ADD_NOTICE.run_each(connection, told)


def _notice_row(event: dict[str, Any], record: AuditRecord, kind: NotificationKind) -> dict[str, Any]:
    """Returns the row by which people are told of an event, once it is known who is (outbox.py)."""
    return {
        "receiver": "",
        "kind": kind.value,
        "body": canonical_json({"sequence": event["sequence"], "record": record.body()}),
        "create_time": event["time"],
        "next_time": event["time"],
        "attempts": 0,
        "deliver_time": None,
    }


def _signal_row(event: dict[str, Any]) -> dict[str, Any]:
    """Returns the row by which every process hears of an event."""
    return {name: event[name] for name in ("sequence", "kind", "task_id", "time")}
