"""The `Ledger` port on one database: every write by group commit, every read of what is committed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import DBAPIError

from remit_server.adapters.database.engine import (
    Database,
    DatabaseRefused,
    OutcomeUnknown,
    open_database,
)
from remit_server.adapters.database.lifecycle import endings
from remit_server.adapters.database.migrations import bring_up_to_date
from remit_server.adapters.database.reading.above import task_above
from remit_server.adapters.database.revoking.presented import refusal_of_presented
from remit_server.adapters.database.schema.rows import grant_of, refusal_of, task_of
from remit_server.adapters.database.schema.tables import grants, issuances, requests, tasks
from remit_server.adapters.database.writing import operations, sweeping
from remit_server.adapters.database.writing.group_commit import GroupCommit
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.adapters.database.writing.store import Store
from remit_server.application.observing import RecordsObserver
from remit_server.application.ports import Authorization, Clock, EndedTask, Presented, Remembered, RequestKey, TaskAbove
from remit_server.domain.audit import AuditRecord, IssuanceFailed
from remit_server.domain.decision import KeptText
from remit_server.domain.errors import Denied
from remit_server.domain.grant import Grant, Issuance
from remit_server.domain.identity import Actor
from remit_server.domain.task import GrantId, Task, TaskId

_TASK = Prepared(select(tasks).where(tasks.c.task_id == bindparam("task_id")))
_REQUEST = Prepared(
    select(requests.c.content_hash, requests.c.grant_id, requests.c.refusal).where(
        requests.c.actor_id == bindparam("actor_id"), requests.c.request_id == bindparam("request_id")
    )
)
_GRANT = Prepared(select(grants).where(grants.c.grant_id == bindparam("grant_id")))
_ISSUANCES = Prepared(
    select(issuances).where(issuances.c.grant_id == bindparam("grant_id")).order_by(issuances.c.number)
)


class DatabaseLedger:
    """Keeps tasks, grants, requests and the audit chain in one database (implements `application.ports.Ledger`).

    `store` is the same database, for what else is kept in it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._commit = store.commit
        self._read = store.read

    async def remembered(self, actor_id: str, request_id: str, /) -> Remembered | None:
        """Returns what is known of this request, or None."""
        return await self._read(partial(_remembered, actor_id, request_id))

    async def task(self, task_id: TaskId, /) -> Task | None:
        """Returns the task, or None; whose it is must still be checked."""
        return await self._read(partial(_task, task_id))

    async def above(self, task_id: TaskId, now: datetime, /) -> TaskAbove | None:
        """Returns the task above a task, with its grants that are live now; None for a task that stands under none."""
        return await self._read(partial(task_above, task_id, now))

    async def authorize(self, authorization: Authorization, /) -> None:
        """Writes task, grant (AUTHORIZED), request, token tie, input and records."""
        await self._commit(
            lambda batch: operations.authorize(batch, authorization),
            counterpart=lambda batch: endings.take_back(batch, authorization.grant),
        )

    async def check_presented(self, presented: Presented, /) -> None:
        """Holds what a call comes with against revokes and blocks."""
        refused = await self._read(lambda connection: refusal_of_presented(connection, presented))
        if refused is not None:
            raise refused

    async def tie_token(self, token: tuple[str, str], grant: Grant, /) -> None:
        """Ties a single-use token to the task of a grant."""
        await self._commit(lambda batch: operations.tie_token(batch, token, grant.task_id, grant.actor_id))

    async def issue(self, grant_id: GrantId, issuance: Issuance, record: AuditRecord, /) -> None:
        """Moves the grant to ISSUED by compare-and-set and adds the issuance."""
        await self._commit(
            lambda batch: operations.issue(batch, grant_id, issuance, record),
            counterpart=lambda batch: endings.withhold(batch, grant_id, issuance, denying=self.store.denying),
        )

    async def fail(
        self,
        grant_id: GrantId,
        record: IssuanceFailed,
        /,
        *,
        credentials_may_exist: bool,
        refusal: Denied | None = None,
    ) -> None:
        """Moves the grant to FAILED, or to REVOKING when STS may have answered."""
        await self._commit(
            lambda batch: endings.fail(
                batch,
                grant_id,
                record,
                refusal,
                credentials_may_exist=credentials_may_exist,
                denying=self.store.denying,
            )
        )

    async def refuse(
        self,
        key: RequestKey | None,
        refusal: Denied | None,
        record: AuditRecord,
        /,
        *,
        kept: Sequence[KeptText] = (),
    ) -> None:
        """Records a no; with `key` and `refusal` it is remembered so that a repeat gets the same answer."""
        await self._commit(lambda batch: operations.refuse(batch, key, refusal, record, kept))

    async def record(
        self, record: AuditRecord, /, *, kept: Sequence[KeptText] = (), presented: Presented | None = None
    ) -> None:
        """Appends one record to the chain, and keeps texts beside it, while what was presented holds."""
        await self._commit(lambda batch: operations.record(batch, record, kept, presented))

    async def end_task(
        self, task_id: TaskId, actor: Actor, now: datetime, /, *, clock_is_settled: bool = True
    ) -> EndedTask:
        """Ends the task and moves its AUTHORIZED and ISSUED grants to REVOKING; at a repeat answers the same."""
        return await self._commit(
            lambda batch: endings.end_task(
                batch, task_id, actor, now, clock_is_settled=clock_is_settled, denying=self.store.denying
            )
        )

    async def sweep(self, now: datetime, /) -> int:
        """Moves orphans to REVOKING and grants past their time guard to EXPIRED; returns how many."""
        return await self._commit(lambda batch: sweeping.sweep(batch, now, denying=self.store.denying))


@asynccontextmanager
async def open_ledger(
    url: str | Path,
    clock: Clock,
    *,
    password_file: Path | None = None,
    denying: bool = False,
    observer: RecordsObserver | None = None,
    commits: Callable[..., GroupCommit] = GroupCommit,
) -> AsyncIterator[DatabaseLedger]:
    """Opens the ledger: creates or migrates its database, starts the one writer, and closes both in order.

    `password_file` holds the password of a database that is a server. With `denying` what is revoked goes into the
    outbox of what AWS must be told. `observer` is told what is on disk; `commits` makes the writer.

    Raises DatabaseRefused when the database cannot be used.
    """
    database = open_database(url, password_file=password_file)
    commit = commits(database, clock, observer=observer)
    try:
        await _prepare(database)
        commit.start()
        yield DatabaseLedger(Store(database, commit, clock, denying=denying))
    finally:
        await commit.close()
        await database.close()


async def _prepare(database: Database) -> None:
    """Creates or migrates the tables, off the event loop."""
    try:
        await asyncio.to_thread(bring_up_to_date, database)
    except (OSError, DBAPIError, OutcomeUnknown) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        raise DatabaseRefused(f"the ledger cannot be written: {why}") from error


def _task(task_id: TaskId, connection: Connection) -> Task | None:
    row = _TASK.first(connection, {"task_id": task_id})
    return None if row is None else task_of(row)


def _remembered(actor_id: str, request_id: str, connection: Connection) -> Remembered | None:
    row = _REQUEST.first(connection, {"actor_id": actor_id, "request_id": request_id})
    if row is None:
        return None
    return Remembered(
        content_hash=row["content_hash"],
        grant=None if row["grant_id"] is None else _grant(row["grant_id"], connection),
        refusal=None if row["refusal"] is None else refusal_of(row["refusal"]),
    )


def _grant(grant_id: str, connection: Connection) -> Grant:
    (row,) = _GRANT.all(connection, {"grant_id": grant_id})
    return grant_of(row, _ISSUANCES.all(connection, {"grant_id": grant_id}))
