"""The `Renewals` port on the ledger's database."""

import json
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, bindparam, select

from remit_server.adapters.database.lifecycle import renewing
from remit_server.adapters.database.schema.rows import grant_of
from remit_server.adapters.database.schema.tables import audit_events, audit_texts, grants, issuances
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.adapters.database.writing.store import Store
from remit_server.application.lifecycle.ports import RenewalAuthorization
from remit_server.domain.audit import GrantAuthorized
from remit_server.domain.errors import RemitError
from remit_server.domain.grant import Grant, Issuance
from remit_server.domain.lifecycle_records import CredentialsRenewed, RenewalAuthorized, RenewalFailed
from remit_server.domain.task import GrantId

_GRANT = Prepared(select(grants).where(grants.c.grant_id == bindparam("grant_id")))
_ISSUANCES = Prepared(
    select(issuances).where(issuances.c.grant_id == bindparam("grant_id")).order_by(issuances.c.number)
)
_AUTHORIZED = (
    select(audit_events.c.body)
    .where(
        audit_events.c.task_id == bindparam("task_id"),
        audit_events.c.kind.in_([GrantAuthorized.kind, RenewalAuthorized.kind]),
        audit_events.c.body.contains(bindparam("grant_id"), autoescape=False),
    )
    .order_by(audit_events.c.sequence.desc())
)
_INPUT = select(audit_texts.c.text).where(audit_texts.c.digest == bindparam("digest"))


class DatabaseRenewals:
    """Keeps renewals in the database of the ledger (implements `application.lifecycle.ports.Renewals`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def grant(self, grant_id: GrantId, /) -> Grant | None:
        """Returns the grant, or None; whose it is must still be checked."""
        return await self._store.read(partial(_grant, grant_id))

    async def kept_question(self, grant_id: GrantId, /) -> str | None:
        """Returns the text that policy was asked with for the grant's present credentials; None where it was erased."""
        return await self._store.read(partial(_kept_question, grant_id))

    async def authorize(self, authorization: RenewalAuthorization, /) -> datetime:
        """Records that STS may be called, and returns the time that this renewal is known by from here on."""
        times: list[datetime] = []

        def write(batch: Batch) -> datetime | RemitError:
            times.append(batch.now)
            return renewing.authorize(batch, authorization)

        return await self._store.commit(
            write, counterpart=lambda batch: renewing.take_back(batch, authorization, times[-1])
        )

    async def renew(
        self,
        authorization: RenewalAuthorization,
        renewing_time: datetime,
        issuance: Issuance,
        record: CredentialsRenewed,
        /,
    ) -> None:
        """Makes the grant what was authorized, by compare-and-set, and adds the issuance."""
        await self._store.commit(
            lambda batch: renewing.renew(batch, authorization, renewing_time, issuance, record),
            counterpart=lambda batch: renewing.withhold(batch, authorization),
        )

    async def fail(
        self, authorization: RenewalAuthorization, renewing_time: datetime, record: RenewalFailed, /
    ) -> None:
        """Records that nobody was given credentials; what the grant gave before lives on."""
        await self._store.commit(lambda batch: renewing.fail(batch, authorization, renewing_time, record))

    async def sweep(self, now: datetime, /) -> int:
        """Settles renewals that have had no outcome for 60 seconds."""
        return await self._store.commit(lambda batch: renewing.sweep(batch, now))


def _grant(grant_id: GrantId, connection: Connection) -> Grant | None:
    row = _GRANT.first(connection, {"grant_id": grant_id})
    return None if row is None else grant_of(row, _ISSUANCES.all(connection, {"grant_id": grant_id}))


def _kept_question(grant_id: GrantId, connection: Connection) -> str | None:
    grant = _GRANT.first(connection, {"grant_id": grant_id})
    if grant is None:
        return None
    of_this = {"task_id": grant["task_id"], "grant_id": grant_id}
    for body in connection.execute(_AUTHORIZED, of_this).scalars():
        told = json.loads(body)
        if (told["grant_id"], told["session_policy_digest"]) == (grant_id, grant["session_policy_digest"]):
            return connection.execute(_INPUT, {"digest": told["input_digest"]}).scalar()
    return None
