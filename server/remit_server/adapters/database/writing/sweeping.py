"""The housekeeping of the ledger that nobody asks for, as one operation of a batch, bounded at each turn."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Update, bindparam, select

from remit_server.adapters.database.approvals.approving import lapse
from remit_server.adapters.database.lifecycle.endings import withheld
from remit_server.adapters.database.revoking import denies
from remit_server.adapters.database.revoking.heard_events import forget
from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.operations import moves
from remit_server.domain.audit import GrantExpired
from remit_server.domain.grant import GrantState, sources_of

ORPHANED_AFTER = timedelta(seconds=60)
SWEPT_AT_ONCE = 500

_ORPHANS = (
    select(grants.c.task_id, grants.c.grant_id, grants.c.expire_time)
    .where(grants.c.state == GrantState.AUTHORIZED.value, grants.c.state_time <= bindparam("before"))
    .order_by(grants.c.state_time, grants.c.expire_time, grants.c.grant_id)
    .limit(SWEPT_AT_ONCE)
)
_PAST = (
    select(grants.c.grant_id)
    .where(grants.c.state.in_(sorted(sources_of(GrantState.EXPIRED))), grants.c.expire_time <= bindparam("now"))
    .order_by(grants.c.expire_time)
    .limit(bindparam("at_most"))
)
_SWEEP_PAST = (
    moves(GrantState.EXPIRED)
    .where(grants.c.grant_id.in_(_PAST))
    .values(state_time=bindparam("now"))
    .returning(grants.c.task_id, grants.c.grant_id, grants.c.expire_time)
)


def sweep(batch: Batch, now: datetime, *, denying: bool) -> int:
    """Moves orphans to REVOKING and what is past its time guard to EXPIRED, each with its record."""
    orphans = batch.connection.execute(_ORPHANS, {"before": now - ORPHANED_AFTER}).mappings().all()
    why = "no outcome was recorded within 60 seconds: STS may have answered, and nobody was given credentials"
    for one in orphans:
        withheld(batch, one, why, now=now, denying=denying)
        batch.gets_on()
    effective = denies.take_for_effective(batch, now)
    denies.forget(batch, now)
    forget(batch, now)
    past = _swept(batch, _SWEEP_PAST, {"now": now, "at_most": SWEPT_AT_ONCE - len(orphans)})
    batch.append(*(GrantExpired(one["task_id"], one["grant_id"], one["expire_time"]) for one in past))
    return len(orphans) + effective + len(past) + lapse(batch, now)


def _swept(batch: Batch, move: Update, bounds: dict[str, Any]) -> Sequence[RowMapping]:
    """Moves grants and returns them in a stable order."""
    moved = batch.connection.execute(move, bounds).mappings().all()
    return sorted(moved, key=lambda row: (row["expire_time"], row["grant_id"]))
