"""The outbox of notifications: what happened is written with its record, then addressed, delivered and forgotten.

A row without a receiver is an event that nobody was chosen for yet: which receivers there are is no part of the
transaction that the event happens in.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.schema.approval_tables import notifications
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared, Row
from remit_server.adapters.database.writing.store import Store
from remit_server.domain.audit import AuditRecord
from remit_server.domain.notification import Notification, NotificationKind

NOBODY: Final = ""
ADDRESSED_AT_ONCE: Final = 200
FORGOTTEN_AT_ONCE: Final = 500

_UNADDRESSED: Final = Prepared(
    select(notifications)
    .where(notifications.c.receiver == NOBODY, notifications.c.next_time.is_not(None))
    .order_by(notifications.c.number)
    .limit(ADDRESSED_AT_ONCE)
)
_WORK: Final = Prepared(select(notifications.c.number).where(notifications.c.next_time <= bindparam("now")).limit(1))
_ADD: Final = Prepared(
    insert(notifications),
    columns=("receiver", "kind", "body", "create_time", "next_time", "attempts", "deliver_time"),
)
_DUE: Final = Prepared(
    select(notifications)
    .where(notifications.c.receiver == bindparam("receiver"), notifications.c.next_time <= bindparam("now"))
    .order_by(notifications.c.number)
    .limit(bindparam("at_most"))
)
_SETTLE: Final = Prepared(
    update(notifications)
    .where(notifications.c.number == bindparam("this_number"))
    .values(
        attempts=bindparam("attempts"),
        next_time=bindparam("next_time"),
        deliver_time=bindparam("deliver_time"),
    )
)


class DatabaseOutbox:
    """The outbox (implements `application.notifications.ports.Outbox`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def has_work(self, now: datetime, /) -> bool:
        """Says whether something happened that is not addressed yet, or a message is due; writes nothing."""
        return await self._store.read(lambda connection: _WORK.first(connection, {"now": now}) is not None)

    async def address(self, receivers: Mapping[str, frozenset[NotificationKind]], /) -> int:
        """Turns what happened into a message to each receiver that wants to hear of its kind; returns how many events.

        What nobody wants to hear of is dropped.
        """
        return await self._store.commit(lambda batch: address(batch, receivers))

    async def due(self, receiver: str, now: datetime, at_most: int, /) -> tuple[Notification, ...]:
        """Returns messages to a receiver whose time has come, oldest first."""
        these = {"receiver": receiver, "now": now, "at_most": at_most}
        rows = await self._store.read(lambda connection: _DUE.all(connection, these))
        return tuple(_notification(row) for row in rows)

    async def delivered(self, notification: Notification, /) -> None:
        """Notes that a message was taken."""
        await self._store.commit(lambda batch: _settle(batch, notification, None, deliver_time=batch.now))

    async def put_off(self, notification: Notification, until: datetime, /) -> None:
        """Notes that a message was not taken: it is tried again then."""
        await self._store.commit(lambda batch: _settle(batch, notification, until))

    async def give_up(self, notification: Notification, record: AuditRecord, /) -> None:
        """Tries a message no more, and puts that on record."""

        def given_up(batch: Batch) -> None:
            _settle(batch, notification, None)
            batch.append(record)

        await self._store.commit(given_up)

    async def forget(self, receivers: frozenset[str], before: datetime, /) -> None:
        """Drops what was taken or given up before then, and what is for receivers that there are no more."""
        over = (
            select(notifications.c.number)
            .where(
                notifications.c.receiver != NOBODY,
                or_(
                    notifications.c.receiver.not_in(receivers),
                    notifications.c.next_time.is_(None) & (notifications.c.create_time < before),
                ),
            )
            .limit(FORGOTTEN_AT_ONCE)
        )
        if await self._store.read(lambda connection: connection.execute(select(over.exists())).scalar()):
            dropped = delete(notifications).where(notifications.c.number.in_(over))
            await self._store.commit(lambda batch: batch.connection.execute(dropped).rowcount)


def address(batch: Batch, receivers: Mapping[str, frozenset[NotificationKind]]) -> int:
    """Addresses what happened, in one transaction."""
    events = _UNADDRESSED.all(batch.connection, {})
    if not events:
        return 0
    wanted = [
        {**{name: event[name] for name in event if name != "number"}, "receiver": receiver, "next_time": batch.now}
        for event in events
        for receiver, kinds in receivers.items()
        if event["kind"] in kinds
    ]
    if wanted:
        _ADD.run_each(batch.connection, wanted)
    done = notifications.c.number.in_([event["number"] for event in events])
    batch.connection.execute(delete(notifications).where(notifications.c.receiver == NOBODY, done))
    return len(events)


def _settle(
    batch: Batch, notification: Notification, next_time: datetime | None, *, deliver_time: datetime | None = None
) -> None:
    """Counts an attempt, and says when the next one is, if there is to be one."""
    _SETTLE.run(
        batch.connection,
        {
            "this_number": notification.number,
            "attempts": notification.attempts + 1,
            "next_time": next_time,
            "deliver_time": deliver_time,
        },
    )


def _notification(row: Row) -> Notification:
    """Returns the message of a row."""
    kept: dict[str, Any] = json.loads(row["body"])
    return Notification(
        number=row["number"],
        receiver=row["receiver"],
        kind=NotificationKind(row["kind"]),
        sequence=kept["sequence"],
        body=json.dumps(kept["record"]),
        create_time=row["create_time"],
        attempts=row["attempts"],
    )
