"""What the use cases of the security side need of the outside, each as one small protocol."""

from typing import Protocol

from remit_server.application.ports import Revision
from remit_server.domain.administration import AdminDecision
from remit_server.domain.audit import AuditRecord
from remit_server.domain.decision import DecisionInput
from remit_server.domain.errors import Denied
from remit_server.domain.identity import Caller
from remit_server.domain.operator import Operator


class AuthenticateOperator(Protocol):
    """Proves who calls the security side."""

    async def __call__(self, caller: Caller, /) -> Operator:
        """Returns the operator.

        Raises Denied(ACTOR_REJECTED) for whoever does not prove to be one, Denied(NOT_AUTHORIZED) for an agent, and
        Outage(ISSUER_UNAVAILABLE) when the keys of its issuer cannot be had.
        """
        ...


class RevokeOf(Protocol):
    """Knows whose tokens count no more."""

    async def __call__(self, operator: Operator, /) -> Denied | None:
        """Returns why the operator is refused, who is blocked or was revoked after its token was issued; else None.

        Raises Outage.
        """
        ...


class Records(Protocol):
    """Puts on record."""

    async def record(self, record: AuditRecord, /) -> None:
        """Returns once the record is durable; raises Outage."""
        ...


class AdminPolicy(Protocol):
    """The security team's Rego on the security side, behind whichever engine."""

    @property
    def active(self) -> Revision:
        """The revision that decides now."""
        ...

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        """Returns the complete decision of that revision.

        Raises Outage(POLICY_UNAVAILABLE) for anything else, Outage(OVERLOADED) when too many questions wait.
        """
        ...
