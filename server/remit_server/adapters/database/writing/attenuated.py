"""How many grants of one task may lie within another grant at a time: parts of it, or those of a task handed on."""

from datetime import timedelta
from typing import Final

from sqlalchemy import bindparam, func, literal, select

from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.application.ports import Authorization
from remit_server.domain.errors import Outage, Reason, RemitError
from remit_server.domain.grant import GrantState

MOST_WITHIN: Final = 100  # that live at a time: when the grant is revoked, each may need a deny of its own at AWS
_LIVE: Final = [literal(state.value) for state in (GrantState.AUTHORIZED, GrantState.ISSUED)]
_COUNT: Final = Prepared(
    select(func.count().label("count")).where(
        grants.c.parent_grant_id == bindparam("parent"),
        grants.c.task_id == bindparam("task_id"),
        grants.c.expire_time > bindparam("now"),
        grants.c.state.in_(_LIVE),
    )
)


def too_many_within(batch: Batch, authorization: Authorization) -> RemitError | None:
    """Returns the refusal of one more of its task within a grant, or None while there is room."""
    grant = authorization.grant
    if grant.parent_grant_id is None:
        return None
    these = {"parent": grant.parent_grant_id, "task_id": grant.task_id, "now": batch.now}
    row = _COUNT.first(batch.connection, these)
    if row is not None and row["count"] < MOST_WITHIN:
        return None
    kind = "attenuated grants of this grant" if grant.is_attenuated else "grants of this task within the grant above it"
    message = f"{MOST_WITHIN} {kind} are live: wait until one of them is over"
    return Outage(Reason.RATE_LIMITED, message, retry_after=timedelta(seconds=15))
