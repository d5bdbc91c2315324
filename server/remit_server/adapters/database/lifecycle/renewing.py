"""What renewals write, each as one operation of a batch: authorized, renewed, failed, and settled when nobody did.

A renewal is known by the time at which it was authorized (`renewing_time`), so that one that was settled meanwhile
loses. A grant has one at a time, in whichever process.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, bindparam, case, exists, null, select, update

from remit_server.adapters.database.revoking.presented import refusal_of_presented
from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.schema.rows import ISSUANCE_COLUMNS, grant_row, issuance_row
from remit_server.adapters.database.schema.tables import UtcTime, grants, issuances, tasks
from remit_server.adapters.database.writing.above import above_lost, above_stands
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.operations import moves, not_live, tie_token
from remit_server.adapters.database.writing.prepared import Prepared, Row
from remit_server.adapters.database.writing.sweeping import ORPHANED_AFTER, SWEPT_AT_ONCE
from remit_server.application.lifecycle.ports import RenewalAuthorization
from remit_server.domain.errors import Outage, Reason, RemitError
from remit_server.domain.grant import GrantState, Issuance
from remit_server.domain.lifecycle_records import CredentialsRenewed, RenewalFailed
from remit_server.domain.revocation import TargetKind
from remit_server.domain.task import TaskState

_NEW_WITH_THE_CREDENTIALS = (
    "session_policy",
    "session_policy_digest",
    "entitlements",
    "policy_revision",
    "ceiling_digest",
    "tags",
    "unguarded",
    "outlives_task",
    "offline_renewal",
)
_of_a_live_task = exists().where(
    tasks.c.task_id == grants.c.task_id, tasks.c.state == TaskState.LIVE.value, tasks.c.end_time > bindparam("now")
)
_is_live = (
    grants.c.grant_id == bindparam("this_grant"),
    grants.c.state == GrantState.ISSUED.value,
    grants.c.expire_time > bindparam("now"),
    _of_a_live_task,
    above_stands,
)
_LIVE = Prepared(select(grants.c.session_policy_digest, grants.c.renewing_time).where(*_is_live))
_until = bindparam("until", type_=UtcTime())
_AUTHORIZE = Prepared(
    update(grants)
    .where(grants.c.grant_id == bindparam("this_grant"))
    .values(
        renewing_time=bindparam("now"),
        # NOTE: from here on AWS may hold credentials that work for so long, whatever comes of it.
        expire_time=case((grants.c.expire_time < _until, _until), else_=grants.c.expire_time),
    )
)
_RENEW = Prepared(
    moves(GrantState.ISSUED)
    .where(*_is_live, grants.c.renewing_time == bindparam("this_renewal"))
    .values(state_time=bindparam("now"), renewing_time=null())
    .values({name: bindparam(f"new_{name}") for name in _NEW_WITH_THE_CREDENTIALS})
    .returning(grants.c.grant_id)
)
_REVOKED_SINCE = Prepared(
    select(revocations.c.revocation_id).where(
        revocations.c.target_key == bindparam("policy_revision"),
        revocations.c.target == TargetKind.REVISION.value,
        revocations.c.revoke_time >= bindparam("this_renewal"),
    )
)
_SETTLE = (
    update(grants)
    .where(grants.c.grant_id == bindparam("this_grant"), grants.c.renewing_time == bindparam("this_renewal"))
    .values(renewing_time=None)
)
_GIVE_TIME_BACK = (
    update(grants)
    .where(grants.c.grant_id == bindparam("this_grant"), grants.c.expire_time == bindparam("extended"))
    .values(expire_time=bindparam("earlier"))
)
_UNSETTLED = (
    select(grants.c.grant_id, grants.c.task_id, grants.c.renewing_time)
    .where(grants.c.renewing_time <= bindparam("before"))
    .order_by(grants.c.renewing_time, grants.c.grant_id)
    .limit(SWEPT_AT_ONCE)
)
_ADD_ISSUANCE = Prepared(issuances.insert(), columns=ISSUANCE_COLUMNS)
_NO_OUTCOME = "NO_OUTCOME"


def authorize(batch: Batch, authorization: RenewalAuthorization) -> datetime | RemitError:
    """Writes everything that says that STS may be called, and returns its time; or nothing of it."""
    before, token = authorization.before, authorization.single_use
    these = {"this_grant": before.grant_id, "now": batch.now}
    live = _LIVE.first(batch.connection, these)
    if lost := refusal_of_presented(batch.connection, authorization.presented) or _lost(live, authorization):
        return lost
    if lost := above_lost(batch, before.parent_grant_id, authorization.proven_within):
        return lost
    if token is not None and (lost := tie_token(batch, token, before.task_id, before.actor_id)):
        return lost
    _AUTHORIZE.run(batch.connection, {**these, "until": authorization.until})
    batch.keep(authorization.basis.texts)
    batch.append(authorization.record)
    return batch.now


def renew(
    batch: Batch,
    authorization: RenewalAuthorization,
    renewing_time: datetime,
    issuance: Issuance,
    record: CredentialsRenewed,
) -> RemitError | None:
    """Makes the grant what was authorized, if it and its task are still live, and adds the issuance."""
    after = grant_row(authorization.after)
    these = {"this_grant": after["grant_id"], "now": batch.now, "this_renewal": renewing_time}
    revision = {"policy_revision": after["policy_revision"], "this_renewal": renewing_time}
    if _REVOKED_SINCE.first(batch.connection, revision) is not None:
        return not_live()
    new = {f"new_{name}": after[name] for name in _NEW_WITH_THE_CREDENTIALS}
    if _RENEW.first(batch.connection, {**these, **new}) is None:
        return not_live()
    _ADD_ISSUANCE.run(batch.connection, issuance_row(authorization.after.grant_id, issuance))
    batch.append(record)
    return None


def fail(batch: Batch, authorization: RenewalAuthorization, renewing_time: datetime, record: RenewalFailed) -> None:
    """Settles a renewal without credentials; where AWS made none, the grant lives no longer than before."""
    these = {"this_grant": authorization.before.grant_id, "this_renewal": renewing_time}
    batch.connection.execute(_SETTLE, these)
    if not record.may_exist:
        ends = {"extended": authorization.after.expire_time, "earlier": authorization.before.expire_time}
        batch.connection.execute(_GIVE_TIME_BACK, {**these, **ends})
    batch.append(record)


def take_back(batch: Batch, authorization: RenewalAuthorization, renewing_time: datetime) -> None:
    """Settles a renewal that was authorized after its caller had been refused: STS was never asked."""
    fail(batch, authorization, renewing_time, _failed(authorization, Reason.LEDGER_UNAVAILABLE, may_exist=False))


def withhold(batch: Batch, authorization: RenewalAuthorization) -> None:
    """Records that nobody was given what was renewed after its caller had been refused; the grant lives on."""
    batch.append(_failed(authorization, Reason.LEDGER_UNAVAILABLE, may_exist=True))


def sweep(batch: Batch, now: datetime) -> int:
    """Settles renewals whose outcome nobody recorded: AWS may have made credentials, and nobody was given any."""
    found: Sequence[RowMapping] = (
        batch.connection.execute(_UNSETTLED, {"before": now - ORPHANED_AFTER}).mappings().all()
    )
    for one in found:
        these = {"this_grant": one["grant_id"], "this_renewal": one["renewing_time"]}
        batch.connection.execute(_SETTLE, these)
        batch.append(RenewalFailed(one["task_id"], one["grant_id"], _NO_OUTCOME, may_exist=True))
    return len(found)


def _lost(live: Row | None, authorization: RenewalAuthorization) -> RemitError | None:
    """Returns why this renewal may not begin, or None."""
    if live is None:
        return not_live()
    if live["renewing_time"] is not None:
        return _again("another renewal of this grant is under way")
    if live["session_policy_digest"] != authorization.before.session_policy_digest:
        return _again("another renewal has changed this grant meanwhile")
    return None


def _again(why: str) -> Outage:
    return Outage(Reason.STS_UNAVAILABLE, f"{why}: repeat this one in a second", retry_after=timedelta(seconds=1))


def _failed(authorization: RenewalAuthorization, reason: Reason, *, may_exist: bool) -> RenewalFailed:
    grant = authorization.after
    return RenewalFailed(grant.task_id, grant.grant_id, reason.value, may_exist)
