"""What the use cases need from outside: one Protocol per need, owned here, implemented under `adapters/`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from remit_server.domain.approval import Approval
from remit_server.domain.audit import AuditRecord, IssuanceFailed
from remit_server.domain.capability import CapabilityTemplate
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.decision import Basis, Decision, DecisionInput, KeptText
from remit_server.domain.errors import Denied
from remit_server.domain.grant import Grant, GrantState, Issuance
from remit_server.domain.identity import Actor, Caller, Delegation
from remit_server.domain.secret import Secret
from remit_server.domain.task import GrantId, Task, TaskId


class Clock(Protocol):
    """Tells the time: `now` in UTC for records and bounds, `monotonic` in seconds for deadlines."""

    def now(self) -> datetime:
        """Returns the present time, UTC."""
        ...

    def monotonic(self) -> float:
        """Returns seconds that never go back."""
        ...


@runtime_checkable
class MayBeStepped(Protocol):
    """A clock that notices when it is stepped."""

    def unsettled_for(self) -> timedelta | None:
        """Returns how long it must still run evenly before bounds may come from it; None when they may."""
        ...


class Entropy(Protocol):
    """Gives random bytes fit for secrets."""

    def __call__(self, count: int, /) -> bytes:
        """Returns `count` fresh bytes."""
        ...


class Authenticate(Protocol):
    """Proves who the caller is."""

    async def __call__(self, caller: Caller, /) -> Actor:
        """Returns the actor.

        Raises Denied(ACTOR_REJECTED), or Outage(ISSUER_UNAVAILABLE) when its keys cannot be had.
        """
        ...


class VerifyDelegation(Protocol):
    """Proves for whom the actor works and that this user's token was given to it."""

    async def __call__(self, unverified_subject_token: Secret, actor: Actor, /) -> Delegation:
        """Returns the delegation.

        Raises Denied(SUBJECT_TOKEN_REJECTED | TOKEN_NOT_BOUND), or Outage(ISSUER_UNAVAILABLE).
        """
        ...


@dataclass(frozen=True, slots=True)
class Revision:
    """The active policy: its content digest and the capabilities of its catalogue."""

    digest: str
    capabilities: Mapping[str, CapabilityTemplate]


class Policy(Protocol):
    """The security team's Rego, behind whichever engine."""

    @property
    def active(self) -> Revision:
        """The revision that decides now."""
        ...

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        """Returns the complete decision of that revision.

        Raises PolicyChanged where another revision is active by now, and Outage(POLICY_UNAVAILABLE) for anything else:
        an error, a timeout, undefined, a wrong shape.
        """
        ...

    async def follow(self, activation: int, /) -> None:
        """Returns once this process decides by what was activated then, or later, which takes a second at most.

        Raises Outage(POLICY_UNAVAILABLE) when it does not by then, or cannot.
        """
        ...


class AssumeRole(Protocol):
    """Asks AWS STS for a session."""

    async def __call__(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
        """Returns the session; `deadline` is monotonic seconds, within which every retry falls.

        Raises Denied(INTENT_TOO_LARGE) when AWS takes no policy of this size or shape (never a second, wider try),
        Outage(RATE_LIMITED) when throttled or over the gateway's own budget, Outage(OVERLOADED) when too many calls are
        under way, Outage(STS_UNAVAILABLE) for everything else, and ValueError before anything is sent for an order that
        must not be sent. `Outage.credentials_may_exist` says whether AWS may have made credentials that nobody was
        given; after a Denied or a ValueError there are none, after a cancel there may be.
        """
        ...


@dataclass(frozen=True, slots=True)
class RequestKey:
    """One request of one actor.

    What idempotency goes by. `content_hash` covers every field but the tokens, and the subject.
    """

    actor_id: str
    request_id: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the ledger knows of a request: its hash then, and its grant or its refusal."""

    content_hash: str
    grant: Grant | None
    refusal: Denied | None

    @property
    def is_answered(self) -> bool:
        """Says whether a repeat is answered by what is known: nothing is left to try, and nobody is waited for."""
        return not self.may_be_tried_again and (self.refusal is not None or not self._waits)

    @property
    def _waits(self) -> bool:
        """Says whether people have not, or not yet, said yes to its grant."""
        waiting = {GrantState.PENDING_APPROVAL, GrantState.REFUSED, GrantState.LAPSED}
        return self.grant is not None and self.grant.state in waiting

    @property
    def may_be_tried_again(self) -> bool:
        """Says whether an outage at STS left the grant without credentials: the same grant is then decided again."""
        return self.refusal is None and self.grant is not None and self.grant.state is GrantState.FAILED


@dataclass(frozen=True, slots=True)
class Presented:
    """With what a call comes, as far as a revoke may have been aimed at it: subject, actor, and the deciding revision.

    The times are when the subject's token and the actor's token or certificate were issued; None says that the actor's
    is not known, which a revoke takes for too old.
    """

    subject_issuer: str
    subject_id: str
    subject_token_time: datetime
    actor_id: str
    actor_token_time: datetime | None
    policy_revision: str


@dataclass(frozen=True, slots=True)
class Held:
    """An approval, by its id, and the digest of what is issued under it: both must be what people said yes to."""

    approval_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Authorization:
    """Everything one AUTHORIZED transaction writes, or nothing of it.

    `new_task` is set when the grant opens its task. `single_use` is (issuer, jti) of a token that is tied to this task.
    `basis` is kept beside the chain by its digests; None where a grant was attenuated from its parent, which is all
    that it rests on. `records` go into the chain in their order. `presented` is held
    against revokes and blocks. `held` is what people said yes to, which is thereby used; `review` is opened with the
    grant. A grant with a `parent_grant_id` was proven within the session policy of that digest (`proven_within`).
    """

    key: RequestKey
    presented: Presented
    grant: Grant
    new_task: Task | None
    single_use: tuple[str, str] | None
    basis: Basis | None
    records: Sequence[AuditRecord]
    held: Held | None = None
    review: Approval | None = None
    proven_within: str = ""


@dataclass(frozen=True, slots=True)
class EndedTask:
    """What ending a task did: when, which grants it stopped, and until when credentials already out still work.

    `denying` says that AWS is being told to refuse them before that.
    """

    end_time: datetime
    grants: tuple[str, ...]
    credentials_until: datetime | None
    denying: bool = False


@dataclass(frozen=True, slots=True)
class TaskAbove:
    """The task under which another one stands, and its live grants, those that last longest first.

    Grants that were attenuated are not among them: what lies within one lies within the grant it was attenuated from.
    """

    task: Task
    grants: tuple[Grant, ...]


class Ledger(Protocol):
    """Everything durable. Each call is one transaction and returns only when it is on disk.

    Each raises Outage(LEDGER_UNAVAILABLE) when that could not be done, and Outage(OVERLOADED) when more waits than can
    be written: then nothing of it happened, as far as anyone may rely on. Where it was written all the same, but too
    late, it is taken back: what was authorized has FAILED in an outage, what was issued first is REVOKING.
    """

    async def remembered(self, actor_id: str, request_id: str, /) -> Remembered | None:
        """Returns what is known of this request, or None."""
        ...

    async def task(self, task_id: TaskId, /) -> Task | None:
        """Returns the task, or None; whose it is must still be checked."""
        ...

    async def above(self, task_id: TaskId, now: datetime, /) -> TaskAbove | None:
        """Returns the task above a task, with its grants that are live now; None for a task that stands under none."""
        ...

    async def authorize(self, authorization: Authorization, /) -> None:
        """Writes task, grant (AUTHORIZED), request, token tie, input and records.

        One request has at most one grant, for ever. When that grant is FAILED and no refusal is remembered (an outage),
        the same request may be authorized again under the same grant: the same task and grant ids, `new_task` None,
        and the content newly decided. So may one that is PENDING_APPROVAL, under an approval that is `held`.

        Raises Denied(NOT_FOUND) when the task is not of this subject and actor, Denied(GRANT_NOT_LIVE) when it is no
        longer live or the grant above is not, Outage(LEDGER_UNAVAILABLE) when that one was renewed since the proof,
        Outage(RATE_LIMITED) when too many live that were attenuated from it,
        what `check_presented` raises, Denied(TOKEN_REPLAYED) when the single-use token is tied to another
        task or actor, Denied(APPROVAL_LAPSED) when the approval that is held is not there to be used for this digest,
        RequestKnown when the request is tied already, say by another process meanwhile: that is looked at before all.
        """
        ...

    async def check_presented(self, presented: Presented, /) -> None:
        """Holds what a call comes with against revokes and blocks.

        Raises Denied(SUBJECT_TOKEN_REJECTED | ACTOR_REJECTED) when subject or actor are blocked or their token is from
        before a revoke, PolicyChanged when another policy revision is active than the one that decided, and
        Denied(POLICY_DENIED) when that is blocked. In a ledger without any activation every revision may decide.
        """
        ...

    async def tie_token(self, token: tuple[str, str], grant: Grant, /) -> None:
        """Ties the single-use token (issuer, jti) of a repeat to the task of its grant, as `authorize` does of a first.

        Raises Denied(TOKEN_REPLAYED) when it is tied to another task or actor.
        """
        ...

    async def issue(self, grant_id: GrantId, issuance: Issuance, record: AuditRecord, /) -> None:
        """Moves the grant to ISSUED by compare-and-set and adds the issuance.

        Raises Denied(GRANT_NOT_LIVE) when the grant or its task was ended meanwhile: the credentials must be withheld.
        """
        ...

    async def fail(
        self,
        grant_id: GrantId,
        record: IssuanceFailed,
        /,
        *,
        credentials_may_exist: bool,
        refusal: Denied | None = None,
    ) -> None:
        """Moves the grant to FAILED, or to REVOKING when STS may have answered.

        The request stays tied to the grant either way. With `refusal` a FAILED grant failed for good, and a repeat gets
        that answer; without, it was an outage and may be tried again (see `authorize`).
        A grant that was ISSUED before (a repeat) stays as it was. The record says the state that the grant then has.
        """
        ...

    async def refuse(
        self,
        key: RequestKey | None,
        refusal: Denied | None,
        record: AuditRecord,
        /,
        *,
        kept: Sequence[KeptText] = (),
    ) -> None:
        """Records a no; with `key` and `refusal` it is remembered so that a repeat gets the same answer.

        What a request was answered before stays: a grant that did not fail, or an earlier refusal.
        """
        ...

    async def record(
        self, record: AuditRecord, /, *, kept: Sequence[KeptText] = (), presented: Presented | None = None
    ) -> None:
        """Appends one record to the chain, and keeps texts beside it.

        Where it tells of what was presented, it is written only while that holds; raises what `check_presented` does.
        """
        ...

    async def end_task(
        self, task_id: TaskId, actor: Actor, now: datetime, /, *, clock_is_settled: bool = True
    ) -> EndedTask:
        """Ends the task and those under it, and moves their AUTHORIZED and ISSUED grants to REVOKING.

        A repeat answers the same. Grants whose time guard has passed are left alone, unless the clock is not settled:
        `now` may then be wrong.
        Raises Denied(NOT_FOUND) when it is not there or not this actor's.
        """
        ...

    async def sweep(self, now: datetime, /) -> int:
        """Moves grants AUTHORIZED for over 60 seconds to REVOKING, and those past their time guard to EXPIRED.

        Each with its record; at most 500 a call. Returns how many were moved.
        """
        ...
