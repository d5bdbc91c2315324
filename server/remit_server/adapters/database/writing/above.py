"""Whether the grant above a grant stands: what is within it is authorized, issued and renewed only while it does."""

from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, bindparam, exists, or_, select

from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.domain.errors import Denied, Outage, Reason, RemitError
from remit_server.domain.grant import GrantState
from remit_server.domain.task import GrantId

_RETRY_AFTER: Final = timedelta(seconds=1)
_above: Final = grants.alias("above")
# In a statement about grants that binds `now`. A revoke stops what is within in its own transaction; this also holds
# where the grant above has come to its end by time.
above_stands: Final[ColumnElement[bool]] = or_(
    grants.c.parent_grant_id.is_(None),
    exists().where(
        _above.c.grant_id == grants.c.parent_grant_id,
        _above.c.state == GrantState.ISSUED.value,
        _above.c.expire_time > bindparam("now"),
    ),
)
_ABOVE: Final = Prepared(
    select(grants.c.session_policy_digest).where(
        grants.c.grant_id == bindparam("grant_id"),
        grants.c.state == GrantState.ISSUED.value,
        grants.c.expire_time > bindparam("now"),
    )
)


def above_lost(batch: Batch, parent_grant_id: GrantId | None, proven_within: str) -> RemitError | None:
    """Returns why a grant may not be given within another, or None.

    `proven_within` is the digest of the session policy of the one above that containment was proven against: where that
    was renewed since, it has to be proven again.
    """
    if parent_grant_id is None:
        return None
    row = _ABOVE.first(batch.connection, {"grant_id": parent_grant_id, "now": batch.now})
    if row is None:
        message = "the grant above, within which this one would lie, is over: it has to be asked for there first"
        return Denied(Reason.GRANT_NOT_LIVE, message)
    if row["session_policy_digest"] != proven_within:
        message = "the grant above was renewed meanwhile: repeat this request in a second"
        return Outage(Reason.LEDGER_UNAVAILABLE, message, retry_after=_RETRY_AFTER)
    return None
