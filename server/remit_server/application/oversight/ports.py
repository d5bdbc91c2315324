"""What the use cases of the security side need of the outside, each as one small protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remit_server.application.ports import Policy, Revision
from remit_server.domain.administration import AdminDecision, Visibility
from remit_server.domain.audit import AuditRecord, ChainBroken, ChainedEvent, ChainIntact
from remit_server.domain.decision import DecisionInput
from remit_server.domain.errors import Denied
from remit_server.domain.grant import Grant
from remit_server.domain.grant_filter.terms import Filter
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

        Raises PolicyChanged where another revision is active by now, Outage(POLICY_UNAVAILABLE) for anything else, and
        Outage(OVERLOADED) when too many questions wait.
        """
        ...

    async def follow(self, activation: int, /) -> None:
        """Returns once this process decides by what was activated then, or later (see `Policy`)."""
        ...


class WholePolicy(Policy, AdminPolicy, Protocol):
    """The security team's Rego on both sides."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended in a list, newest first: the time and the id of its last item."""

    time: datetime
    key: str


class GrantShelf(Protocol):
    """Grants, to be read."""

    async def grant(self, grant_id: str, /) -> Grant | None:
        """Returns the grant, or None; whether the caller sees it must still be checked."""
        ...

    async def of_task(self, task_id: str, at_most: int, /) -> Sequence[Grant]:
        """Returns the grants of a task, newest first, at most so many."""
        ...

    async def page(
        self, wanted: Filter | None, visibility: Visibility, /, *, at_most: int, after: Place | None = None
    ) -> Sequence[Grant]:
        """Returns the newest grants that are wanted and visible; `after` is the place of the last one seen."""
        ...

    async def changes(self, after: int, until: int, /) -> tuple[int, Sequence["Change"]]:
        """Returns the grants that records after one place in the chain tell of, as they stand now, and up to where.

        A bounded part of the records is looked at, up to `until` at most.
        """
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """A grant that changed, as it stands now, and the place in the chain of the record that tells of it."""

    grant: Grant
    sequence: int


@dataclass(frozen=True, slots=True)
class TrailFilter:
    """Which events are meant: of a task, of a kind; empty means all."""

    task_id: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class TrailPage:
    """Events, newest first, and before which place the rest is; None when there is no rest."""

    events: Sequence[ChainedEvent]
    goes_on_before: int | None


class Trail(Protocol):
    """The audit trail, to be read."""

    async def head(self) -> int:
        """Returns the place of the last event."""
        ...

    async def grown(self, sequence: int, /) -> int:
        """Returns the place of the last event once it is behind this one."""
        ...

    async def after(self, sequence: int, /, *, at_most: int) -> Sequence[ChainedEvent]:
        """Returns the events behind a place in their order, at most so many."""
        ...

    async def before(self, sequence: int | None, wanted: TrailFilter, /, *, at_most: int) -> TrailPage:
        """Returns the events before a place (or the newest), newest first; a bounded part of the chain is looked at."""
        ...

    async def verify(self) -> ChainIntact | ChainBroken:
        """Verifies the whole chain."""
        ...
