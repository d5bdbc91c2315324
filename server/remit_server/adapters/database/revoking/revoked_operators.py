"""Holds operators against the revokes and blocks that their users' and workloads' tokens are held against."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from remit_server.adapters.database.revoking.presented import refusal_of_presented
from remit_server.adapters.database.writing.store import Store
from remit_server.application.ports import Presented
from remit_server.domain.errors import Denied
from remit_server.domain.operator import Operator

_UNKNOWN = datetime.min.replace(tzinfo=UTC)  # older than every revoke


@dataclass(frozen=True, slots=True)
class RevokedOperators:
    """Knows which operators count no more (implements `application.oversight.ports.RevokeOf`)."""

    store: Store

    async def __call__(self, operator: Operator, /) -> Denied | None:
        """Returns why the operator is refused, or None."""
        return await self.store.read(partial(_refusal, operator))


def _refusal(operator: Operator, connection: Connection) -> Denied | None:
    """Returns why a subject, or a workload of that name, is refused; a certificate is taken for older than a revoke."""
    presented = Presented(
        subject_issuer=operator.issuer,
        subject_id=operator.subject,
        subject_token_time=operator.token_issue_time or _UNKNOWN,
        actor_id=operator.name,
        actor_token_time=operator.token_issue_time,
        policy_revision="",  # no revision's: whoever is blocked must be able to activate another one
    )
    refused = refusal_of_presented(connection, presented)
    return refused if isinstance(refused, Denied) else None
