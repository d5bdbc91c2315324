"""Revokes and blocks in the ledger: by grant, task, subject, actor and policy revision, each one transaction."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, and_, bindparam, or_, select, update

from remit_server.adapters.database.lifecycle import endings
from remit_server.adapters.database.revoking.revoking import stop
from remit_server.adapters.database.revoking.stopped import NAMED, Stopped, order_below, record_of
from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.schema.tables import grants, tasks
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.adapters.database.writing.store import Store
from remit_server.domain.errors import Denied, Reason, RemitError
from remit_server.domain.lifecycle_records import BlockLifted
from remit_server.domain.revocation import Block, Revoked, RevokeOrder, Target, TargetKind
from remit_server.domain.task import TaskState

_TASK: Final = Prepared(select(tasks).where(tasks.c.task_id == bindparam("task_id")))
_above: Final = tasks.alias("above")
# One at a time: to end one ends those under it.
_HANDED_ON: Final = Prepared(
    select(tasks)
    .join(_above, _above.c.task_id == tasks.c.parent_task_id)
    .where(
        tasks.c.parent_task_id > "",  # which the join says already; by it SQLite walks only what was handed on
        _above.c.actor_id == bindparam("key"),
        tasks.c.state == TaskState.LIVE.value,
        tasks.c.end_time > bindparam("now"),
    )
    .order_by(tasks.c.depth, tasks.c.task_id)
    .limit(1)
)
_GRANT: Final = select(grants.c.task_id).where(grants.c.grant_id == bindparam("grant_id"))
_BLOCK: Final = select(revocations).where(revocations.c.revocation_id == bindparam("block_id"), revocations.c.block)
_STANDING: Final = and_(revocations.c.block.is_(True), revocations.c.lift_time.is_(None))
_LIFT: Final = (
    update(revocations).where(revocations.c.revocation_id == bindparam("block_id")).values(lift_time=bindparam("now"))
)


class DatabaseRevocations:
    """Revokes and blocks (implements `application.revocation.revoke_grants.Revocations`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def revoke(self, order: RevokeOrder, /) -> Revoked:
        """Stops what the order is aimed at; from then on no process issues any of it."""
        return await self._store.commit(partial(revoke, order=order, denying=self._store.denying))

    async def blocks(self, limit: int, after: tuple[datetime, str] | None = None) -> Sequence[Block]:
        """Returns the blocks that stand, newest first; `after` is the time and id of the last one seen."""
        return await self._store.read(partial(_blocks, limit, after))

    async def block(self, block_id: str) -> Block | None:
        """Returns a block, whether it stands or was lifted; None where there is none."""
        return await self._store.read(partial(_block, block_id))

    async def lift(self, block_id: str, by: str, why: str) -> datetime:
        """Lifts a block; at a repeat returns when it was lifted. Raises Denied(NOT_FOUND)."""
        return await self._store.commit(partial(lift, block_id=block_id, by=by, why=why))


def revoke(
    batch: Batch, order: RevokeOrder, *, denying: bool, event_time: datetime | None = None
) -> Revoked | RemitError:
    """Stops what the order is aimed at and records it; a grant or task that is not there is Denied(NOT_FOUND)."""
    task_id = ""
    if order.target.kind is TargetKind.GRANT:
        found = batch.connection.execute(_GRANT, {"grant_id": order.target.key}).scalar()
        if found is None:
            return Denied(Reason.NOT_FOUND, "there is no such grant")
        task_id = str(found)
    elif order.target.kind is TargetKind.TASK:
        task_id = order.target.key
        task = _TASK.first(batch.connection, {"task_id": task_id})
        if task is None:
            return Denied(Reason.NOT_FOUND, "there is no such task")
        if task["ended_time"] is None:
            stopped = endings.end(batch, task, order, now=batch.now, denying=denying)
            return _recorded(batch, order, stopped, task_id)
    handed_on = _end_handed_on(batch, order, denying=denying) if order.target.kind is TargetKind.ACTOR else ()
    stopped = stop(batch, order, now=batch.now, denying=denying, event_time=event_time).with_those_below(handed_on)
    return _recorded(batch, order, stopped, task_id)


def _end_handed_on(batch: Batch, order: RevokeOrder, *, denying: bool) -> Sequence[Stopped]:
    """Ends the tasks that a revoked agent handed on: what it said so with is not good any more."""
    ended = list[Stopped]()
    while (task := _HANDED_ON.first(batch.connection, {"key": order.target.key, "now": batch.now})) is not None:
        target = Target(TargetKind.TASK, task["task_id"])
        below = order_below(order, target, "the agent that handed this task on was revoked")
        ended.append(endings.end(batch, task, below, now=batch.now, denying=denying))
    return ended


def _recorded(batch: Batch, order: RevokeOrder, stopped: Stopped, task_id: str) -> Revoked:
    """Puts a revoke on record and returns what it did."""
    batch.append(record_of(order, stopped, task_id))
    return Revoked(
        revocation_id=order.revocation_id,
        revoke_time=batch.now,
        grant_count=len(stopped.names),
        grants=stopped.names[:NAMED],
        credentials_until=stopped.until,
        denying=stopped.denying,
    )


def lift(batch: Batch, block_id: str, by: str, why: str) -> datetime | RemitError:
    """Lifts a block and records it, once."""
    row = batch.connection.execute(_BLOCK, {"block_id": block_id}).mappings().first()
    if row is None:
        return Denied(Reason.NOT_FOUND, "there is no such block")
    if row["lift_time"] is not None:
        lifted: datetime = row["lift_time"]
        return lifted
    lift_row(batch, row, by=by, why=why)
    return batch.now


def lift_row(batch: Batch, row: RowMapping, *, by: str, why: str) -> None:
    """Lifts a block that stands, whose row it is."""
    batch.connection.execute(_LIFT, {"block_id": row["revocation_id"], "now": batch.now})
    target = (row["target"], row["target_key"], row["target_issuer"])
    batch.append(BlockLifted(row["revocation_id"], *target, by=by, why=why))


def standing_blocks(connection: Connection, *conditions: Any) -> Sequence[RowMapping]:
    """Returns the rows of blocks that stand and keep the conditions, newest first."""
    query = select(revocations).where(_STANDING, *conditions)
    newest_first = query.order_by(revocations.c.revoke_time.desc(), revocations.c.revocation_id.desc())
    return connection.execute(newest_first).mappings().all()


def _blocks(limit: int, after: tuple[datetime, str] | None, connection: Connection) -> Sequence[Block]:
    query = select(revocations).where(_STANDING)
    if after is not None:
        time, block_id = after
        same = and_(revocations.c.revoke_time == time, revocations.c.revocation_id < block_id)
        query = query.where(or_(revocations.c.revoke_time < time, same))
    query = query.order_by(revocations.c.revoke_time.desc(), revocations.c.revocation_id.desc()).limit(limit)
    return [_block_of(row) for row in connection.execute(query).mappings()]


def _block(block_id: str, connection: Connection) -> Block | None:
    row = connection.execute(_BLOCK, {"block_id": block_id}).mappings().first()
    return None if row is None else _block_of(row)


def _block_of(row: RowMapping) -> Block:
    """Returns the block of a row."""
    target = Target(TargetKind(row["target"]), row["target_key"], row["target_issuer"])
    return Block(row["revocation_id"], target, row["revoke_time"], row["by"], row["why"])
