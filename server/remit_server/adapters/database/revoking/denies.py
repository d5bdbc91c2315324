"""The outbox of what AWS must be told, as its one writer for each account sees it (implements `DenyOutbox`)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, RowMapping, Text, bindparam, delete, func, or_, select, update

from remit_server.adapters.database.lifecycle.holding import hold, is_held
from remit_server.adapters.database.revoking.covering import has_others_out
from remit_server.adapters.database.revoking.stopped import AT_ONCE, in_parts
from remit_server.adapters.database.schema.revocation_tables import denies
from remit_server.adapters.database.schema.tables import audit_events, grants, issuances
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.operations import moves
from remit_server.adapters.database.writing.store import Store
from remit_server.application.revocation.texts import mark_of_ledger
from remit_server.domain.grant import GrantState
from remit_server.domain.lifecycle_records import (
    DenialEffective,
    DenialWithoutRoom,
    RevocationPolicyChanged,
    RevocationPolicyForeign,
    SessionsDenied,
)
from remit_server.domain.revocation import DenyTag, Effective, SessionDeny

MOST_AT_ONCE: Final = 500
_OF_THESE: Final = denies.c.number.in_(bindparam("numbers", expanding=True))
_ACCOUNTS: Final = select(denies.c.account).distinct().order_by(denies.c.account)
_DROP: Final = delete(denies).where(
    denies.c.account == bindparam("account"), denies.c.covers_until <= bindparam("before")
)
FORGOTTEN_AFTER: Final = timedelta(days=1)
_FORGET: Final = delete(denies).where(denies.c.covers_until <= bindparam("before"))
_WANTED: Final = (
    select(denies)
    .where(denies.c.account == bindparam("account"), denies.c.covers_until > bindparam("now"))
    .order_by(denies.c.number)
)
_LIVE: Final = (
    grants.c.account == bindparam("account"),
    grants.c.state.in_([GrantState.AUTHORIZED.value, GrantState.ISSUED.value]),
    grants.c.expire_time > bindparam("now"),
    or_(bindparam("subject", type_=Text).is_(None), grants.c.subject_part == bindparam("subject")),
)
# A renewal's sessions are opened later than the grant's first ones, which may be gone by then.
_EARLIEST_ISSUED: Final = (
    select(func.min(issuances.c.issue_time))
    .select_from(issuances.join(grants, grants.c.grant_id == issuances.c.grant_id))
    .where(*_LIVE, issuances.c.expire_time > bindparam("now"))
)
_EARLIEST_AUTHORIZED: Final = select(func.min(grants.c.state_time)).where(
    *_LIVE, grants.c.state == GrantState.AUTHORIZED.value
)
_EARLIEST_RENEWING: Final = select(func.min(grants.c.renewing_time)).where(*_LIVE, grants.c.renewing_time.is_not(None))
_EARLIEST: Final = (_EARLIEST_ISSUED, _EARLIEST_AUTHORIZED, _EARLIEST_RENEWING)
_WRITTEN: Final = (
    update(denies)
    .where(_OF_THESE, denies.c.account == bindparam("this_account"), denies.c.write_time.is_(None))
    .values(write_time=bindparam("at"), assumed_by=bindparam("by"), no_room=False)
)
_OBSERVED: Final = (
    update(denies)
    .where(_OF_THESE, denies.c.account == bindparam("this_account"), denies.c.effective_time.is_(None))
    .values(effective_time=bindparam("at"))
)
_WITHOUT_ROOM: Final = (
    update(denies)
    .where(_OF_THESE, denies.c.account == bindparam("this_account"), denies.c.no_room.is_(False))
    .values(no_room=True)
    .returning(denies.c.revocation_id)
)
_REVOCATIONS: Final = select(denies.c.revocation_id).distinct().where(_OF_THESE)
# What has to be written and is not known to be obeyed yet: until it is, nothing is said of the revoke as a whole.
_STILL_OPEN: Final = (
    select(denies.c.revocation_id)
    .distinct()
    .where(
        denies.c.revocation_id.in_(bindparam("revocations", expanding=True)),
        denies.c.account == bindparam("this_account"),
        denies.c.required.is_(True),
        denies.c.effective_time.is_(None),
    )
)
_of_revocations = (
    grants.c.revocation_id.in_(bindparam("revocations", expanding=True)),
    grants.c.account == bindparam("this_account"),
)
_REVOKED: Final = (
    moves(GrantState.REVOKED)
    .where(
        grants.c.grant_id.in_(
            select(grants.c.grant_id)
            .where(*_of_revocations, grants.c.state == GrantState.REVOKING.value, ~has_others_out)
            .limit(AT_ONCE)
        )
    )
    .values(state_time=bindparam("now"), effective_time=bindparam("at"), effective=bindparam("how"))
    .returning(grants.c.grant_id)
)
_FIRST_HASH: Final = select(audit_events.c.event_hash).where(audit_events.c.sequence == 1)
_DUE: Final = (
    select(denies.c.number, denies.c.account, denies.c.assumed_by)
    .where(denies.c.effective_time.is_(None), denies.c.assumed_by <= bindparam("now"))
    .order_by(denies.c.number)
    .limit(MOST_AT_ONCE)
)


class DatabaseDenies:
    """What AWS must be told, by account; `holder`s are the processes that would like to tell it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def accounts(self) -> Sequence[str]:
        """Returns the accounts that have denies wanted, or written and not dropped."""
        return await self._store.read(lambda connection: connection.execute(_ACCOUNTS).scalars().all())

    async def hold(self, account: str, holder: str, seconds: float) -> bool:
        """Takes or extends the right to write to an account."""
        return await self._store.commit(partial(hold, name=_name(account), holder=holder, seconds=seconds))

    async def wanted(self, account: str, now: datetime) -> Sequence[SessionDeny]:
        """Returns every deny of an account that is not over, in the order of their numbers."""
        these = {"account": account, "now": now}
        return await self._store.read(
            lambda connection: [_deny_of(row) for row in connection.execute(_WANTED, these).mappings()]
        )

    async def earliest_live(self, account: str, subject: str | None) -> datetime | None:
        """Returns the earliest time at which a session of a grant that lives can have been opened; None: none lives."""
        return await self._store.read(partial(_earliest_live, account, subject, self._store.clock.now()))

    async def denied(
        self, account: str, holder: str, numbers: Sequence[int], write_time: datetime, assumed_by: datetime
    ) -> None:
        """Records that AWS took these denies, and by when it is assumed to refuse what they cover."""
        await self._store.commit(
            partial(_denied, account=account, holder=holder, numbers=numbers, at=write_time, by=assumed_by)
        )

    async def observed(self, account: str, holder: str, numbers: Sequence[int], effective_time: datetime) -> None:
        """Records that AWS was seen to refuse what these denies cover.

        The grants of a revoke are REVOKED once that is known of every deny of it that has to be written.
        """
        await self._store.commit(partial(_observed, account=account, holder=holder, numbers=numbers, at=effective_time))

    async def no_room(self, account: str, holder: str, numbers: Sequence[int]) -> None:
        """Records, once, that there is no room for these denies: their grants stay REVOKING."""
        await self._store.commit(partial(_no_room, account=account, holder=holder, numbers=numbers))

    async def identity(self) -> str:
        """Returns the mark of this ledger, made of the first record of its audit chain."""
        return await self._store.read(lambda connection: mark_of_ledger(connection.execute(_FIRST_HASH).scalar_one()))

    async def foreign(self, account: str, holder: str, policy: str, mark: str) -> None:
        """Records that a policy is another ledger's."""
        await self._store.commit(partial(_noted, holder=holder, record=RevocationPolicyForeign(account, policy, mark)))

    async def changed(self, account: str, holder: str, policy: str) -> None:
        """Records that somebody else changed a policy."""
        await self._store.commit(partial(_noted, holder=holder, record=RevocationPolicyChanged(account, policy)))

    async def dropped(self, account: str, holder: str, before: datetime) -> None:
        """Forgets the denies that were over by this time and that AWS's texts hold no more."""
        await self._store.commit(partial(_dropped, account=account, holder=holder, before=before))


def take_for_effective(batch: Batch, now: datetime) -> int:
    """Takes denies for effective whose time has come and that nobody observed; returns how many."""
    due = batch.connection.execute(_DUE, {"now": now}).all()
    for account in sorted({one.account for one in due}):
        numbers = [one.number for one in due if one.account == account]
        latest = max(one.assumed_by for one in due if one.account == account)
        _make_effective(batch, account, numbers, latest, Effective.ASSUMED)
    return len(due)


def forget(batch: Batch, now: datetime) -> None:
    """Forgets denies that were over long ago, of accounts that nobody writes to any more."""
    batch.connection.execute(_FORGET, {"before": now - FORGOTTEN_AFTER})


def _name(account: str) -> str:
    """Returns the name of the hold on an account."""
    return f"aws:{account}"


def _denied(batch: Batch, *, account: str, holder: str, numbers: Sequence[int], at: datetime, by: datetime) -> None:
    """Records a write, unless another process may have written since."""
    if not numbers or not is_held(batch, _name(account), holder):
        return
    these = {"numbers": list(numbers), "this_account": account, "at": at, "by": by}
    if batch.connection.execute(_WRITTEN, these).rowcount:
        batch.append(SessionsDenied(account, _revocations(batch, numbers), at, by))


def _observed(batch: Batch, account: str, holder: str, numbers: Sequence[int], at: datetime) -> None:
    """Records what was seen; that stays true whoever holds the account now."""
    del holder
    _make_effective(batch, account, numbers, at, Effective.OBSERVED)


def _make_effective(batch: Batch, account: str, numbers: Sequence[int], at: datetime, how: Effective) -> None:
    these = {"numbers": list(numbers), "this_account": account, "at": at}
    if not numbers or not batch.connection.execute(_OBSERVED, these).rowcount:
        return
    revocations = _revocations(batch, numbers)
    still_open = batch.connection.execute(_STILL_OPEN, {**these, "revocations": list(revocations)}).scalars().all()
    whole = [one for one in revocations if one not in set(still_open)]
    values = {**these, "revocations": whole, "now": batch.now, "how": how.value}
    moved = in_parts(batch, _REVOKED, values) if whole else []
    batch.append(DenialEffective(account, revocations, at, how.value, len(moved)))


def _no_room(batch: Batch, account: str, holder: str, numbers: Sequence[int]) -> None:
    if not numbers or not is_held(batch, _name(account), holder):
        return
    these = {"numbers": list(numbers), "this_account": account}
    told = sorted(set(batch.connection.execute(_WITHOUT_ROOM, these).scalars()))
    if told:
        batch.append(DenialWithoutRoom(account, tuple(told)))


def _noted(batch: Batch, holder: str, record: RevocationPolicyForeign | RevocationPolicyChanged) -> None:
    if is_held(batch, _name(record.account), holder):
        batch.append(record)


def _dropped(batch: Batch, account: str, holder: str, before: datetime) -> None:
    if is_held(batch, _name(account), holder):
        batch.connection.execute(_DROP, {"account": account, "before": before})


def _revocations(batch: Batch, numbers: Sequence[int]) -> tuple[str, ...]:
    """Returns the revokes that these denies belong to."""
    return tuple(sorted(batch.connection.execute(_REVOCATIONS, {"numbers": list(numbers)}).scalars()))


def _earliest_live(account: str, subject: str | None, now: datetime, connection: Connection) -> datetime | None:
    these = {"account": account, "subject": subject, "now": now}
    found = [connection.execute(query, these).scalar() for query in _EARLIEST]
    return min((time for time in found if time is not None), default=None)


def _deny_of(row: RowMapping) -> SessionDeny:
    """Returns the deny of a row."""
    return SessionDeny(
        number=row["number"],
        account=row["account"],
        tag=DenyTag(row["tag"]),
        pattern=row["pattern"],
        subject=row["subject_part"],
        issued_before=row["issued_before"],
        last_issued=row["last_issued"],
        covers_until=row["covers_until"],
        required=row["required"],
        revoke_time=row["revoke_time"],
        written=row["write_time"] is not None,
    )
