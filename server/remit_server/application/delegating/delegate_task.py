"""Opens a task under a task, for another agent: the consent of the agent above, which nobody else can give."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from remit_server.application.ports import Clock, Entropy, Ledger, RequestKey
from remit_server.domain.audit import RequestRefused, Who
from remit_server.domain.decision import canonical_json
from remit_server.domain.entitlement import MIN_CREDENTIAL_LIFETIME
from remit_server.domain.errors import FieldViolation, InvalidRequest, told_of
from remit_server.domain.identity import Admitted
from remit_server.domain.task import TASK_ID_BYTES, Task, TaskId, opaque_id

METHOD: Final = "DelegateTask"


@dataclass(frozen=True, slots=True)
class DelegateRequest:
    """One agent's wish to hand a part of its task to another agent; `request_id` makes a repeat the same.

    `agent` is whom it names; without `max_duration` the task may last until the one above ends.
    """

    by: Admitted
    request_id: str
    task_id: TaskId
    agent: str
    purpose: str
    max_duration: timedelta | None = None

    @property
    def key(self) -> RequestKey:
        """What idempotency goes by: actor and request_id, held to every field."""
        seconds = None if self.max_duration is None else self.max_duration.total_seconds()
        content = canonical_json([self.task_id, self.agent, self.purpose, seconds])
        digest = hashlib.sha256(content.encode()).hexdigest()
        return RequestKey(self.by.actor.actor_id, self.request_id, digest)


@dataclass(frozen=True, slots=True)
class NewDelegation:
    """What one transaction writes of a delegation, or nothing of it; `deepest` bounds how deep tasks may stand."""

    request: DelegateRequest
    task_id: TaskId
    deepest: int


class Delegations(Protocol):
    """Tasks under tasks, as the ledger keeps them."""

    async def open(self, new: NewDelegation, /) -> Task:
        """Writes the task and its record; at a repeat of the request returns the task that it opened.

        Raises InvalidRequest when the request's id was used for another one, Denied(NOT_FOUND) when the task above is
        not there or not the caller's, Denied(ACTOR_REJECTED | SUBJECT_TOKEN_REJECTED) when agent or user are blocked or
        the agent was revoked since its proof, Denied(GRANT_NOT_LIVE) when the task above is over or nearly so,
        Denied(DELEGATION_TOO_DEEP), and Outage(RATE_LIMITED) when too many live under the same first task.
        """
        ...


Mistake = Callable[[str], FieldViolation | None]  # why no agent of this gateway can have a name, None where one may


@dataclass(frozen=True, slots=True)
class DelegateTask:
    """Lets a task's own actor open a task under it. Needs no subject token: nobody's rights grow by it.

    The agent that is named needs a token of the same user, and policy's word, for everything that it asks for in it.
    """

    delegations: Delegations
    ledger: Ledger
    clock: Clock
    entropy: Entropy
    mistake: Mistake
    deepest: int
    called_for: Callable[[TaskId], None] = lambda _: None

    async def __call__(self, request: DelegateRequest) -> Task:
        """Returns the task; raises what `Delegations.open` raises, or InvalidRequest, each on record."""
        try:
            self._check(request)
            task_id = TaskId(opaque_id(self.entropy(TASK_ID_BYTES)))
            task = await self.delegations.open(NewDelegation(request, task_id, self.deepest))
        except Exception as error:
            await self._refused(error, request)
            raise
        self.called_for(request.task_id)
        return task

    def _check(self, request: DelegateRequest) -> None:
        """Raises InvalidRequest for a name that no other agent can have, and for a life too short to use."""
        violations = []
        if request.agent == request.by.actor.actor_id:
            rule = "is the caller itself: for less than a grant gives call AttenuateCredentials"
            violations.append(FieldViolation("actor", rule))
        elif (mistake := self.mistake(request.agent)) is not None:
            violations.append(FieldViolation("actor", mistake.rule))
        if request.max_duration is not None and request.max_duration < MIN_CREDENTIAL_LIFETIME:
            seconds = int(MIN_CREDENTIAL_LIFETIME.total_seconds())
            violations.append(FieldViolation("max_duration", f"must be {seconds} seconds or more"))
        if violations:
            raise InvalidRequest(violations)

    async def _refused(self, error: Exception, request: DelegateRequest) -> None:
        """Records the no."""
        told = told_of(error)
        who = Who(
            actor_id=request.by.actor.actor_id,
            token_fingerprint=request.by.actor.token_fingerprint or "",
            peer=request.by.peer,
        )
        record = RequestRefused(who, request.request_id, METHOD, told.reason.value, told.message, request.task_id)
        await self.ledger.refuse(None, None, record)


def end_of(request: DelegateRequest, above: Task, now: datetime) -> datetime:
    """Returns when a task under this one ends: a longer wish is cut."""
    return above.end_time if request.max_duration is None else min(above.end_time, now + request.max_duration)
