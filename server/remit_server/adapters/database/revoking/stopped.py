"""What a revoke did to grants, and how it is kept and put on record."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import UpdateBase
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.writing.batch import Batch
from remit_server.domain.lifecycle_records import GrantsRevoked
from remit_server.domain.revocation import MAX_WHY, RevokeOrder, Target
from remit_server.domain.task import TASK_ID_BYTES, opaque_id

NAMED: Final = 100  # grants that an answer and a record name
AT_ONCE: Final = 1_000  # grants that one statement moves: between two of them the ledger is seen to get on
_ADD_REVOCATION = insert(revocations)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a revoke stopped: the names of the grants, until when credentials work, whether AWS is being told.

    `below` names what stopped with them: grants that lay within them, and those of the tasks under theirs. The time
    and what AWS is told are about all of them.
    """

    grants: tuple[str, ...]
    until: datetime | None
    denying: bool
    below: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256, hex, over the sorted names."""
        return hashlib.sha256("\n".join(self.grants).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of everything that stopped."""
        return (*self.grants, *self.below)

    def with_those_below(self, others: Sequence["Stopped"]) -> "Stopped":
        """Returns what was stopped together with what lay below it."""
        out = [one for one in (self, *others) if one.until is not None or one.denying]
        return Stopped(
            grants=self.grants,
            until=max((one.until for one in out if one.until is not None), default=None),
            denying=bool(out) and all(one.denying for one in out),
            below=(*self.below, *(name for one in others for name in one.names)),
        )


def new_revocation_id() -> str:
    """Returns an id for a revoke that nobody asked for from outside."""
    return opaque_id(secrets.token_bytes(TASK_ID_BYTES))


def order_below(order: RevokeOrder, target: Target, why: str) -> RevokeOrder:
    """Returns the order by which what lies below a revoke's target stops, too: an event, which blocks nobody."""
    why = f"{why}: {order.why}"[:MAX_WHY]
    return replace(order, revocation_id=new_revocation_id(), target=target, why=why, block=False)


def in_parts(batch: Batch, move: UpdateBase, these: dict[str, Any]) -> list[Any]:
    """Moves grants, `AT_ONCE` with each statement, until none is left; returns what the statements do."""
    moved: list[Any] = []
    while True:
        part = batch.connection.execute(move, these).all()
        moved += part
        if len(part) < AT_ONCE:
            return moved
        batch.gets_on()


def keep_revocation(
    batch: Batch, order: RevokeOrder, now: datetime, count: int, event_time: datetime | None = None
) -> None:
    """Keeps a revoke that ended so many grants."""
    row = {
        "revocation_id": order.revocation_id,
        "target": order.target.kind.value,
        "target_key": order.target.key,
        "target_issuer": order.target.issuer,
        "revoke_time": now,
        "cause": order.cause.value,
        "by": order.by,
        "why": order.why,
        "grant_count": count,
        "block": order.block,
        "event_time": event_time,
    }
    batch.connection.execute(_ADD_REVOCATION, row)


def record_of(order: RevokeOrder, stopped: Stopped, task_id: str = "") -> GrantsRevoked:
    """Returns the record of a revoke; what stopped below has records of its own."""
    return GrantsRevoked(
        revocation_id=order.revocation_id,
        target=order.target.kind.value,
        target_key=order.target.key,
        target_issuer=order.target.issuer,
        cause=order.cause.value,
        by=order.by,
        why=order.why,
        block=order.block,
        grant_count=len(stopped.grants),
        grants=stopped.grants[:NAMED],
        grants_digest=stopped.digest,
        credentials_until=stopped.until,
        denying=stopped.denying,
        task_id=task_id,
    )
