"""Security events in the ledger: what they mean is done once, in the transaction that remembers them."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.revoking.revocations import lift_row, revoke, standing_blocks
from remit_server.adapters.database.revoking.stopped import new_revocation_id
from remit_server.adapters.database.schema.revocation_tables import revocations, seen_events
from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.adapters.database.writing.store import Store
from remit_server.domain.audit import AuditRecord
from remit_server.domain.grant import GrantState
from remit_server.domain.revocation import MAX_WHY, RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.security_event import REMEMBERED_FOR, SecurityEvent, SecurityEventKind

_SEE: Final = Prepared(insert(seen_events).on_conflict_do_nothing().returning(seen_events.c.event_id))
_SEEN: Final = select(seen_events.c.event_id).where(
    seen_events.c.source == bindparam("source"), seen_events.c.event_id == bindparam("event_id")
)
_FORGET: Final = delete(seen_events).where(seen_events.c.until <= bindparam("now"))
_LIVE_SUBJECTS: Final = (
    select(grants.c.subject_id)
    .distinct()
    .where(
        grants.c.subject_issuer == bindparam("issuer"),
        grants.c.state.in_([GrantState.AUTHORIZED.value, GrantState.ISSUED.value, GrantState.PENDING_APPROVAL.value]),
    )
    .order_by(grants.c.subject_id)
)


_NAMED: Final = (
    select(grants.c.subject_id)
    .distinct()
    .where(grants.c.source_identity == bindparam("identity"), grants.c.subject_issuer == bindparam("issuer"))
    .order_by(grants.c.subject_id)
)
_IDENTITY: Final = (
    select(grants.c.source_identity)
    .where(grants.c.subject_id == bindparam("subject_id"), grants.c.subject_issuer == bindparam("issuer"))
    .order_by(grants.c.issue_time.desc())
    .limit(1)
)


class DatabaseSecurityEvents:
    """Does what security events mean (implements the ports of `application.security_events`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def revoke_for_event(self, event: SecurityEvent, /) -> bool:
        """Makes what an event means durable, with the memory of it; returns whether it was new."""
        return await self._store.commit(partial(_heard, event=event, denying=self._store.denying))

    async def record_once(self, source: str, event_id: str, record: AuditRecord, /) -> bool:
        """Writes the record of an event that changes nothing, unless it was seen; returns whether it was new."""
        return await self._store.commit(lambda batch: _recorded_once(batch, source, event_id, record))

    async def seen(self, source: str, event_id: str, /) -> bool:
        """Says whether an event is remembered."""
        these = {"source": source, "event_id": event_id}
        return await self._store.read(lambda connection: connection.execute(_SEEN, these).first() is not None)

    async def live_subjects(self, issuer: str, /) -> Sequence[str]:
        """Returns the issuer's subjects that have live grants, or wait for them."""
        return await self._store.read(lambda at: at.execute(_LIVE_SUBJECTS, {"issuer": issuer}).scalars().all())

    async def subjects_named(self, issuer: str, source_identity: str, /) -> Sequence[str]:
        """Returns the issuer's subjects that had grants under this SourceIdentity."""
        these = {"issuer": issuer, "identity": source_identity}
        return await self._store.read(lambda connection: connection.execute(_NAMED, these).scalars().all())

    async def identity_of(self, issuer: str, subject_id: str, /) -> str | None:
        """Returns the SourceIdentity of the subject's newest grant, or None."""
        these = {"issuer": issuer, "subject_id": subject_id}
        return await self._store.read(lambda connection: connection.execute(_IDENTITY, these).scalar())

    async def blocked_subjects(self, issuer: str, source: str, /) -> Sequence[str]:
        """Returns the issuer's subjects under a block that this source made."""
        return await self._store.read(lambda connection: _blocked(connection, issuer, source))


def forget(batch: Batch, now: datetime) -> None:
    """Forgets events that are too old to be told again."""
    batch.connection.execute(_FORGET, {"now": now})


def _heard(batch: Batch, event: SecurityEvent, *, denying: bool) -> bool:
    """Does what an event means, unless it was seen."""
    if not _is_new(batch, event.source, event.event_id):
        return False
    if event.kind is SecurityEventKind.ACCOUNT_ENABLED:
        these = (
            revocations.c.target == TargetKind.SUBJECT.value,
            revocations.c.target_key == event.subject_id,
            revocations.c.target_issuer == event.subject_issuer,
            revocations.c.by == event.source,
            func.coalesce(revocations.c.event_time, revocations.c.revoke_time) <= event.event_time,
        )
        for row in standing_blocks(batch.connection, *these):
            lift_row(batch, row, by=event.source, why=event.reason[:MAX_WHY] or event.kind.value.lower())
        return True
    order = RevokeOrder(
        new_revocation_id(),
        Target(TargetKind.SUBJECT, event.subject_id, event.subject_issuer),
        RevokeCause.SECURITY_EVENT,
        by=event.source,
        why=f"{event.kind.value.lower()}: {event.reason}"[:MAX_WHY],
        block=event.kind is SecurityEventKind.ACCOUNT_DISABLED,
    )
    revoke(batch, order, denying=denying, event_time=event.event_time)
    return True


def _recorded_once(batch: Batch, source: str, event_id: str, record: AuditRecord) -> bool:
    if not _is_new(batch, source, event_id):
        return False
    batch.append(record)
    return True


def _is_new(batch: Batch, source: str, event_id: str) -> bool:
    """Remembers an event; says whether it was not."""
    row = {"source": source, "event_id": event_id, "until": batch.now + REMEMBERED_FOR}
    return _SEE.first(batch.connection, row) is not None


def _blocked(connection: Connection, issuer: str, source: str) -> Sequence[str]:
    these = (
        revocations.c.target == TargetKind.SUBJECT.value,
        revocations.c.target_issuer == issuer,
        revocations.c.by == source,
    )
    return sorted({str(row["target_key"]) for row in standing_blocks(connection, *these)})
