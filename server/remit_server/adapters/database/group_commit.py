"""Makes many waiting operations durable with one commit, and chains their records.

Each operation is a plain function of a `Batch`. A loser returns its error as a value, before it has written anything,
so that it fails alone; the others of its batch are not touched. The head row of the chain is locked first, in every
batch of every process, so no other transaction writes between an operation's check and its write.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection

from remit_server.adapters.database.engine import Database
from remit_server.adapters.database.prepared import Prepared
from remit_server.adapters.database.tables import audit_events, audit_head, audit_inputs
from remit_server.application.ports import Clock
from remit_server.domain.audit import AuditRecord, ChainedEvent, bounded, chained
from remit_server.domain.decision import DecisionInput
from remit_server.domain.errors import Outage, Reason, RemitError

T = TypeVar("T")

MAX_WAITING = 1024
MAX_BATCH = 256
PATIENCE = timedelta(seconds=5)  # with a queue that moves
STUCK_AFTER = timedelta(milliseconds=900)  # a transaction that has got nowhere for so long
_LOOKS = 8  # at the writer within that time, all of which see it at the same place
_RETRY_AFTER = timedelta(seconds=1)

_LOCK_HEAD = Prepared(select(audit_head.c.sequence, audit_head.c.hash).where(audit_head.c.id == 1).with_for_update())
_MOVE_HEAD = Prepared(
    update(audit_head)
    .where(audit_head.c.id == 1, audit_head.c.sequence == bindparam("from_sequence"))
    .values(sequence=bindparam("to_sequence"), hash=bindparam("to_hash"))
)
_ADD_EVENT = Prepared(insert(audit_events))
_ADD_INPUT = Prepared(insert(audit_inputs).on_conflict_do_nothing())


@dataclass(slots=True)
class Batch:
    """The transaction that a batch's operations share: `now` is its one time, `records` what they append, in order."""

    connection: Connection
    now: datetime
    records: list[AuditRecord] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)

    def append(self, *records: AuditRecord) -> None:
        """Appends records to the chain when the batch is committed."""
        self.records.extend(records)

    def keep(self, question: DecisionInput | None) -> None:
        """Keeps what policy was asked beside the chain, by its digest."""
        if question is not None:
            self.inputs[question.digest] = question.text


Operation = Callable[[Batch], T | RemitError]


@dataclass(slots=True)
class _Waiting:
    operation: Operation[Any]
    answer: asyncio.Future[Any]


class GroupCommit:
    """The one writer of a process: commits all operations that wait in its bounded queue in one transaction."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        max_waiting: int = MAX_WAITING,
        patience: timedelta = PATIENCE,
        stuck_after: timedelta = STUCK_AFTER,
    ) -> None:
        self._database = database
        self._clock = clock
        self._patience = patience.total_seconds()
        self._waiting: asyncio.Queue[_Waiting | None] = asyncio.Queue(max_waiting)
        self._writer: asyncio.Task[None] | None = None
        self._look_every = stuck_after.total_seconds() / (_LOOKS + 1)
        self._is_stuck = False
        self._watch: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts the writer on the running loop."""
        self._writer = asyncio.create_task(self._write(), name="ledger-writer")

    async def close(self) -> None:
        """Commits what waits and ends the writer; later operations are refused."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await self._waiting.put(None)
            await writer

    async def __call__(self, operation: Operation[T]) -> T:
        """Returns the operation's result once it is on disk.

        Raises the operation's own error, Outage(OVERLOADED) when too many wait, and Outage(LEDGER_UNAVAILABLE) when it
        could not be written in time: then it is not done, or nobody was told that it is.
        """
        if self._writer is None or self._is_stuck:
            raise unavailable()
        waiting = _Waiting(operation, asyncio.get_running_loop().create_future())
        try:
            self._waiting.put_nowait(waiting)
        except asyncio.QueueFull:
            raise Outage(
                Reason.OVERLOADED, "The gateway has more to record than it can: try again.", retry_after=_RETRY_AFTER
            ) from None
        try:
            async with asyncio.timeout(self._patience):
                return cast("T", await waiting.answer)
        except TimeoutError as error:
            raise unavailable() from error

    def _getting_on(self, operation: Operation[T]) -> Operation[T]:
        """Returns the operation, after which the writer is known not to be stuck: a large batch is only slow."""

        def run(batch: Batch) -> T | RemitError:
            result = operation(batch)
            self._database.gets_on()
            return result

        return run

    def _watch_over(self, batch: list[_Waiting], seen: float | None = None, looks: int = 0) -> None:
        """Looks every now and then whether the writer gets on with this batch.

        NOTE: what counts is looks, not time: where this process is short of time, it is late with its looks as well.
        And it is the writer's own thread that is asked: a late loop takes nothing for stuck that has been written.
        """
        self._watch = asyncio.get_running_loop().call_later(self._look_every, self._look_at, batch, seen, looks)

    def _look_at(self, batch: list[_Waiting], seen: float | None, looks: int) -> None:
        """Refuses everybody who waits when the writer is stuck; nobody is told that anything is done."""
        since = self._database.since
        looks = looks + 1 if since is not None and since == seen else 0
        self._is_stuck = looks >= _LOOKS
        self._watch_over(batch, since, looks)
        if not self._is_stuck:
            return
        stuck = TimeoutError("the ledger does not get on")
        told_to_end = False
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            told_to_end = told_to_end or waiting is None
            if waiting is not None:
                _fail(waiting.answer, stuck)
        if told_to_end:
            self._waiting.put_nowait(None)
        for waiting in batch:
            _fail(waiting.answer, stuck)

    async def _write(self) -> None:
        """Commits batch after batch until it is told to end."""
        while (first := await self._waiting.get()) is not None:
            batch, last = [first], False
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                waiting = self._waiting.get_nowait()
                if waiting is None:
                    last = True
                    break
                batch.append(waiting)
            if wanted := [waiting for waiting in batch if not waiting.answer.done()]:
                self._watch_over(wanted)
                await self._commit(wanted)
            if self._watch is not None:
                self._watch.cancel()
            self._is_stuck = False
            if last:
                return

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commits a batch, then answers each of its operations; when it failed as a whole, none is done."""
        try:
            operations = [self._getting_on(waiting.operation) for waiting in batch]
            results = await self._database.write(partial(_run, operations, self._clock))
        except Exception as error:  # noqa: BLE001 - whatever it was: nobody is told that it is done
            if len(batch) > 1 and not _is_the_stores(error):
                for waiting in batch:  # one of them cannot be written at all: it must not take the others with it
                    await self._commit([waiting])
            else:
                for waiting in batch:
                    _fail(waiting.answer, error)
            return
        for waiting, result in zip(batch, results, strict=True):
            _settle(waiting.answer, result)


def unavailable() -> Outage:
    """Returns the failure of whatever could not be read or written."""
    return Outage(
        Reason.LEDGER_UNAVAILABLE,
        "The gateway cannot record this now, so it issues nothing: try again.",
        retry_after=_RETRY_AFTER,
    )


def _run(operations: list[Operation[Any]], clock: Clock, connection: Connection) -> list[Any]:
    """Runs the operations in their order and appends what they recorded; returns their results."""
    locked = _LOCK_HEAD.first(connection, {})
    if locked is None:
        raise RuntimeError("the audit chain has no head")
    sequence, head = locked["sequence"], locked["hash"]
    now = clock.now()  # after the lock was waited for: what is over by now is over
    batch = Batch(connection, now)
    results = [operation(batch) for operation in operations]
    if batch.inputs:
        _ADD_INPUT.run_each(connection, [{"digest": digest, "text": text} for digest, text in batch.inputs.items()])
    if batch.records:
        rows = []
        for place, record in enumerate(batch.records, start=sequence + 1):
            event = chained(record, sequence=place, time=now, previous_hash=head)
            rows.append(_event_row(event, record))
            head = event.event_hash
        _ADD_EVENT.run_each(connection, rows)
        moved = {"from_sequence": sequence, "to_sequence": sequence + len(rows), "to_hash": head}
        if _MOVE_HEAD.run(connection, moved) != 1:
            raise RuntimeError("the head of the audit chain moved under its lock")
    return results


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


def _is_the_stores(error: Exception) -> bool:
    """Says whether the store failed (full, locked, gone), rather than one operation that it cannot take."""
    if isinstance(error, DBAPIError):
        return not isinstance(error, IntegrityError | ProgrammingError)
    return isinstance(error, OSError | NoConnection)


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    """Tells a caller that its operation was not done, and the log why."""
    if not answer.done():
        outage = unavailable()
        outage.__cause__ = error
        answer.set_exception(outage)


def _settle(answer: asyncio.Future[Any], result: Any) -> None:
    """Gives a caller its result, or raises the error that its operation lost by."""
    if answer.done():
        return
    if isinstance(result, RemitError):
        answer.set_exception(result)
    else:
        answer.set_result(result)
