"""Gateways that break a promise on purpose: a harness that does not catch them proves nothing (8-threats.md I1)."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import delete, insert, select, update
from tests.crash.gateway import Gateway

from remit_server.adapters.database.policies import activating
from remit_server.adapters.database.revoking import revocations
from remit_server.adapters.database.revoking.stopped import new_revocation_id
from remit_server.adapters.database.schema.revocation_tables import denies
from remit_server.adapters.database.schema.rows import issuance_row
from remit_server.adapters.database.schema.tables import grants, issuances
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.store import Store
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.application.policy.ports import Activated, ActivationOrder
from remit_server.application.ports import Authorization, Remembered
from remit_server.domain.audit import AuditRecord
from remit_server.domain.errors import RemitError
from remit_server.domain.grant import Grant, GrantState, Issuance
from remit_server.domain.revocation import RevokeCause, Revoked, RevokeOrder, Target, TargetKind
from remit_server.domain.task import GrantId

LATE: Final = "late"
_pending: set[asyncio.Task[Any]] = set()


def later(work: Coroutine[Any, Any, Any]) -> None:
    """Does something after the answer."""
    task = asyncio.create_task(work, name=LATE)
    _pending.add(task)
    task.add_done_callback(_pending.discard)


@dataclass(frozen=True)
class Port:
    """A port of which some verbs are replaced."""

    port: Any
    store: Store

    def __getattr__(self, verb: str) -> Any:
        return getattr(self.port, verb)


class RecordsLater(Port):
    """Says that an issuance is recorded, and records it then."""

    async def issue(self, grant_id: GrantId, issuance: Issuance, record: AuditRecord, /) -> None:
        """Answers first."""
        later(self.port.issue(grant_id, issuance, record))


class AnswersFirst(IssueCredentials):
    """Hands the credentials out before they are recorded."""

    async def _issued(self, grant: Grant, case: Any, key: Any, *, repeated: bool = False) -> Issued:
        ledger: Any = RecordsLater(self.ledger, None)  # type: ignore[arg-type]
        hasty = IssueCredentials(**{**_parts(self), "ledger": ledger})
        return await hasty._issued(grant, case, key, repeated=repeated)


@dataclass(frozen=True)
class IntendsNothing(Port):
    """Keeps the AUTHORIZED record back until STS has answered."""

    kept: dict[str, Authorization] = field(default_factory=dict)

    async def authorize(self, authorization: Authorization, /) -> None:
        """Writes nothing yet."""
        self.kept[authorization.grant.grant_id] = authorization

    async def issue(self, grant_id: GrantId, issuance: Issuance, record: AuditRecord, /) -> None:
        """Writes both, when there are credentials already."""
        if (authorization := self.kept.pop(grant_id, None)) is not None:
            await self.port.authorize(authorization)
        await self.port.issue(grant_id, issuance, record)


class IssuesWhatWasRevoked(Port):
    """Records an issuance without looking at where the grant stands."""

    async def issue(self, grant_id: GrantId, issuance: Issuance, record: AuditRecord, /) -> None:
        """Sets the state instead of comparing it first."""

        def issued(batch: Batch) -> None:
            these = update(grants).where(grants.c.grant_id == grant_id).values(state=GrantState.ISSUED.value)
            batch.connection.execute(these)
            batch.connection.execute(insert(issuances), issuance_row(grant_id, issuance))
            batch.append(record)

        await self.store.commit(issued)


class ForgetsRequests(Port):
    """Ties no request to its grant, so that a repeat gets another one."""

    async def remembered(self, _actor_id: str, _request_id: str, /) -> Remembered | None:
        """Knows nothing."""
        return None

    async def authorize(self, authorization: Authorization, /) -> None:
        """Takes each request for a new one."""
        key = replace(authorization.key, request_id=secrets.token_hex())
        await self.port.authorize(replace(authorization, key=key))


class TiesNoToken(Port):
    """Lets a single-use token through for any number of tasks."""

    async def authorize(self, authorization: Authorization, /) -> None:
        """Leaves the tie out."""
        await self.port.authorize(replace(authorization, single_use=None))


class SweepsNothing(Port):
    """Leaves orphans as they are."""

    async def sweep(self, _now: datetime, /) -> int:
        """Finds none."""
        return 0


class RevokesLater(Port):
    """Says that it is revoked, and revokes then."""

    async def revoke(self, order: RevokeOrder, /) -> Revoked:
        """Answers first."""
        later(self.port.revoke(order))
        return Revoked(order.revocation_id, self.store.clock.now(), 0, (), None, denying=True)


class DeniesApart(Port):
    """Queues what AWS must be told in a transaction of its own."""

    async def revoke(self, order: RevokeOrder, /) -> Revoked:
        """Commits twice."""
        kept: list[dict[str, Any]] = []

        def revoked(batch: Batch) -> Revoked | RemitError:
            result = revocations.revoke(batch, order, denying=True)
            these = denies.c.revocation_id == order.revocation_id
            kept.extend(dict(row) for row in batch.connection.execute(select(denies).where(these)).mappings())
            batch.connection.execute(delete(denies).where(these))
            return result

        done = await self.store.commit(revoked)
        if kept:
            await self.store.commit(partial(_insert, kept))
        return done


class RecordsActivationsApart(Port):
    """Activates in one transaction and records it in another."""

    async def activate(self, order: ActivationOrder, /) -> Activated:
        """Commits twice."""
        kept: list[AuditRecord] = []

        def activated(batch: Batch) -> Activated | RemitError:
            before = len(batch.records)
            result = activating.activate(batch, order, denying=True)
            kept.extend(batch.records[before:])
            del batch.records[before:]
            return result

        done = await self.store.commit(activated)
        await self.store.commit(lambda batch: batch.append(*kept))
        return done


class RevokesBesideActivations(Port):
    """Goes back, and revokes what was issued in a transaction of its own."""

    async def activate(self, order: ActivationOrder, /) -> Activated:
        """Commits twice."""
        before = await self.port.active()
        done: Activated = await self.port.activate(replace(order, revoke_issued=False))
        if order.revoke_issued and before is not None:
            target = Target(TargetKind.REVISION, before.revision)
            revoke = RevokeOrder(new_revocation_id(), target, RevokeCause.ROLLBACK, order.by, order.why, block=True)
            await self.store.commit(partial(revocations.revoke, order=revoke, denying=True))
        return done


class ForgetsWhatDecided(Port):
    """Authorizes without saying by which revision it was decided, so that nothing is held against it."""

    async def authorize(self, authorization: Authorization, /) -> None:
        """Leaves the revision out."""
        presented = replace(authorization.presented, policy_revision="")
        await self.port.authorize(replace(authorization, presented=presented))


def _insert(kept: list[dict[str, Any]], batch: Batch) -> None:
    batch.connection.execute(insert(denies), kept)


def _with_ledger(kind: type[Port], gateway: Gateway) -> Gateway:
    ledger: Any = kind(gateway.issue.ledger, gateway.ledger.store)
    return replace(gateway, issue=replace(gateway.issue, ledger=ledger))


def _with_revocations(kind: type[Port], gateway: Gateway) -> Gateway:
    return replace(gateway, revocations=kind(gateway.revocations, gateway.ledger.store))


def _with_revisions(kind: type[Port], gateway: Gateway) -> Gateway:
    return replace(gateway, revisions=kind(gateway.revisions, gateway.ledger.store))


def _answers_first(gateway: Gateway) -> Gateway:
    return replace(gateway, issue=AnswersFirst(**_parts(gateway.issue)))


def _parts(use_case: IssueCredentials) -> dict[str, Any]:
    return {one.name: getattr(use_case, one.name) for one in fields(use_case)}


MUTANTS: Final[dict[str, Callable[[Gateway], Gateway]]] = {
    "answers first": _answers_first,
    "no intent record": partial(_with_ledger, IntendsNothing),
    "issues what was revoked": partial(_with_ledger, IssuesWhatWasRevoked),
    "forgets requests": partial(_with_ledger, ForgetsRequests),
    "ties no token": partial(_with_ledger, TiesNoToken),
    "sweeps nothing": partial(_with_ledger, SweepsNothing),
    "revoke answers first": partial(_with_revocations, RevokesLater),
    "denies apart": partial(_with_revocations, DeniesApart),
    "records activations apart": partial(_with_revisions, RecordsActivationsApart),
    "revokes beside activations": partial(_with_revisions, RevokesBesideActivations),
    "forgets what decided": partial(_with_ledger, ForgetsWhatDecided),
}
