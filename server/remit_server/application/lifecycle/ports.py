"""What renewing, leases and watching need from outside, each as one small protocol."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from remit_server.application.ports import Presented
from remit_server.domain.decision import Basis
from remit_server.domain.grant import Grant, Issuance
from remit_server.domain.identity import Admitted
from remit_server.domain.lifecycle_records import CredentialsRenewed, RenewalAuthorized, RenewalFailed
from remit_server.domain.task import GrantId, Task, TaskId
from remit_server.domain.task_event import TaskEvent


@dataclass(frozen=True, slots=True)
class RenewalAuthorization:
    """Everything that one authorized renewal writes, or nothing of it.

    `before` is the grant as it was decided about, `after` what it is once its credentials are there; those end at
    `until`. `single_use` is (issuer, jti) of a token that is good for one task only. A grant with a `parent_grant_id`
    was proven within the session policy of that digest (`proven_within`).
    """

    presented: Presented
    before: Grant
    after: Grant
    until: datetime
    single_use: tuple[str, str] | None
    basis: Basis
    record: RenewalAuthorized
    proven_within: str = ""


class Renewals(Protocol):
    """Renewals as the ledger keeps them. Each call is one transaction, as those of `application.ports.Ledger` are."""

    async def grant(self, grant_id: GrantId, /) -> Grant | None:
        """Returns the grant, or None; whose it is must still be checked."""
        ...

    async def kept_question(self, grant_id: GrantId, /) -> str | None:
        """Returns the text that policy was asked with for the grant's present credentials; None where it was erased."""
        ...

    async def authorize(self, authorization: RenewalAuthorization, /) -> datetime:
        """Records that STS may be called, and returns the time that this renewal is known by from here on.

        From then on the grant lives until `until` at least. Raises Denied(GRANT_NOT_LIVE) when the grant or its task is
        over, what `check_presented` and `tie_token` of the ledger raise, and Outage(STS_UNAVAILABLE, RETRY_LATER) while
        another renewal of the grant is under way or when one has changed it meanwhile.
        """
        ...

    async def renew(
        self,
        authorization: RenewalAuthorization,
        renewing_time: datetime,
        issuance: Issuance,
        record: CredentialsRenewed,
        /,
    ) -> None:
        """Makes the grant what was authorized, by compare-and-set, and adds the issuance.

        Raises Denied(GRANT_NOT_LIVE) when the grant, its task or the policy revision was ended or revoked meanwhile:
        the credentials must be withheld.
        """
        ...

    async def fail(
        self, authorization: RenewalAuthorization, renewing_time: datetime, record: RenewalFailed, /
    ) -> None:
        """Records that nobody was given credentials; what the grant gave before lives on."""
        ...

    async def sweep(self, now: datetime, /) -> int:
        """Settles renewals that have had no outcome for 60 seconds, each with its record; returns how many."""
        ...


class AcceptsSubjects(Protocol):
    """Knows whether tokens of an issuer still stand for users whose credentials may be renewed without them."""

    def __call__(self, issuer: str, /) -> bool:
        """Says whether they do; raises Outage while the clock cannot be relied on."""
        ...


@dataclass(frozen=True, slots=True)
class Leased:
    """A task that is watched, and its lease: how long it is, and when it runs out unless it is extended."""

    task: Task
    grace: timedelta | None
    lease_until: datetime | None


class Leases(Protocol):
    """The leases of tasks. Each call is one transaction; each raises Outage when it could not be made durable."""

    async def take(self, by: Admitted, task_id: TaskId, grace: timedelta | None, /) -> Leased:
        """Gives the task a lease, or another one, and extends it; without `grace` the one it has, if it has one.

        The lease of a task that is over is left alone. Raises Denied(NOT_FOUND) unless it is the actor's.
        """
        ...

    async def extend(self, task_ids: Collection[TaskId], /) -> Mapping[TaskId, datetime]:
        """Extends the leases of those that live and have one, and returns when each then runs out."""
        ...

    async def sweep(self, now: datetime, /) -> int:
        """Ends the tasks whose lease has run out, each with its record, and returns how many.

        Where no gateway had been serving for over 15 seconds it gives every lease its full grace again instead.
        """
        ...


class TaskNews(Protocol):
    """What happened to tasks, read from the records of it. Each raises Outage when it cannot be read."""

    async def standing(self, task_id: TaskId, /) -> Sequence[TaskEvent]:
        """Returns what somebody who did not watch has missed and must know: what was revoked or decided, the end."""
        ...

    async def told(
        self, signals: Sequence["Signal"], watched: Collection[TaskId], /
    ) -> Sequence[tuple[TaskId, TaskEvent]]:
        """Returns what these signals tell of the tasks that are watched, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Signal:
    """One record that every process hears of; `task_id` is empty where it is about more than one task."""

    sequence: int
    kind: str
    task_id: str
    time: datetime


class Signals(Protocol):
    """The order in which things happened, as all processes of a gateway see it."""

    async def latest(self) -> int:
        """Returns the sequence of the latest signal; 0 before the first."""
        ...

    async def since(self, sequence: int, /) -> Sequence[Signal]:
        """Returns the signals after this one in their order, a bounded number at a time."""
        ...


class Follow(Protocol):
    """Hears of everything that happens from now on, in whichever process."""

    def __call__(self) -> AsyncGenerator[Sequence[Signal], None]:
        """Yields the signals in their order, some at a time, soon after they are on record; goes on for ever.

        What happens after the first of its turns has begun is not missed; an outage is waited for.
        """
        ...
