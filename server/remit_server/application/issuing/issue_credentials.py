"""Issues credentials for a task intent: the whole story of the main job."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from remit_server.application.approvals.ask_approval import AskApproval, Pending
from remit_server.application.issuing.flights import Flights
from remit_server.application.issuing.grants import authorization_of, single_use_token
from remit_server.application.issuing.handing_out import HandOut, Issued
from remit_server.application.issuing.hearing import Case, Hearing, known
from remit_server.application.issuing.refusals import refusal_record
from remit_server.application.issuing.requests import IssueRequest, request_key
from remit_server.application.issuing.to_the_end import ToTheEnd
from remit_server.application.planning.plan_session import Plan
from remit_server.application.planning.recent import Recent
from remit_server.application.ports import AssumeRole, Clock, Entropy, Held, Ledger, Remembered, RequestKey
from remit_server.domain.approval import Approval, ApprovalState
from remit_server.domain.errors import (
    Denied,
    FieldViolation,
    InvalidRequest,
    Outage,
    PolicyChanged,
    Reason,
    RequestKnown,
)
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.task import TASK_ID_BYTES, GrantId, opaque_id

METHOD = "IssueCredentials"
_SEEN = 4096
_OF_WHAT_WAS_PRESENTED = frozenset({Reason.SUBJECT_TOKEN_REJECTED, Reason.ACTOR_REJECTED})


@dataclass(slots=True)
class _Course:
    """One request, as far as it has come."""

    request: IssueRequest
    case: Case
    key: RequestKey | None = None
    is_authorizing: bool = False


@dataclass(frozen=True, slots=True)
class IssueCredentials:
    """Verifies, decides, proves, records, asks STS, records again, answers: in this order and no other.

    A request that this process has not seen is taken for new, so that new ones look nothing up. Where it was answered
    elsewhere, the transaction that would authorize it says so, and whatever else it fails by is not told before it was
    looked up: a repeat hears what it was answered first, wherever it comes in.
    """

    hearing: Hearing
    ledger: Ledger
    assume_role: AssumeRole
    clock: Clock
    entropy: Entropy
    ask: AskApproval
    to_the_end: ToTheEnd = field(default_factory=ToTheEnd)
    flights: Flights = field(default_factory=Flights)
    seen: Recent[tuple[str, str], str] = field(default_factory=lambda: Recent(_SEEN))

    async def __call__(self, request: IssueRequest) -> Issued | Pending:
        """Returns credentials, or what is waited for; raises RemitError when nobody holds any and a record says why."""
        course = _Course(request, Case(request.ask, self.clock.now()))
        async with self.flights(course.case.actor.actor_id, request.request_id):
            try:
                course.case = await self.hearing.verified(course.case)
                course.key = request_key(request, known(course.case.delegation))
                return await self._heard(course, course.case, course.key)
            except Exception as error:
                await self._refused(error, course)
                raise

    async def _heard(self, course: _Course, verified: Case, key: RequestKey) -> Issued | Pending:
        """Answers a request by what it was answered before, where it was."""
        if self._has_seen(key):
            return await self._answered(course, await self._remembered(key))
        try:
            return await self._answered(course, None)
        except Exception as error:
            before = await self._overlooked(course, error)
            if before is None:
                raise
        course.case = verified
        return await self._answered(course, before)

    async def _answered(self, course: _Course, before: Remembered | None) -> Issued | Pending:
        """Answers a repeat as it was answered before; decides one that is new (None), or has to be tried again."""
        case, key = course.case, known(course.key)
        if before is not None and before.is_answered:
            grant = await self._live_again(before, case)
            return await self.to_the_end(self._issued(grant, case, key, repeated=True))
        tried = before.grant if before else None
        approval = await self.ask.standing(tried, case.time)
        if tried is not None and approval is not None and approval.state is ApprovalState.PENDING:
            return Pending(tried, approval)
        if approval is not None:
            case = replace(case, approval_end=approval.valid_until)
        course.case = await self.hearing.in_task(case, tried.task_id if tried else course.request.ask.task_id)
        while True:
            try:
                course.case = await self.hearing.decided(self.hearing.questioned(course.case))
                plan = await self.hearing.planned(course.case)
                outcome = await self.to_the_end(self._decided(course, plan, tried, approval))
                return self.hearing.answered(course.case, plan, outcome)
            except PolicyChanged as changed:
                course.case = await self.hearing.once_more(course.case, changed)

    def _has_seen(self, key: RequestKey) -> bool:
        """Says whether this process was asked this lately: a hint where to look first, which decides nothing."""
        request = key.actor_id, key.request_id
        if self.seen.of(request) is not None:
            return True
        self.seen.keep(request, key.content_hash)
        return False

    async def _overlooked(self, course: _Course, error: Exception) -> Remembered | None:
        """Returns what is known of a request that was taken for new, None where it is; raises as `_remembered` does."""
        if course.is_authorizing and not isinstance(error, RequestKnown):
            return None  # NOTE: the ledger found it new, and wrote it: what failed since then is this call's own
        return await self._remembered(known(course.key))

    async def _remembered(self, key: RequestKey) -> Remembered | None:
        """Returns what is known of the request; raises InvalidRequest when its id was used for another one."""
        before = await self.ledger.remembered(key.actor_id, key.request_id)
        if before is not None and before.content_hash != key.content_hash:
            raise InvalidRequest([FieldViolation("request_id", "was used for another request: choose a new UUID")])
        return before

    async def _decided(
        self, course: _Course, plan: Plan, tried: Grant | None, approval: Approval | None
    ) -> Issued | Pending:
        """Asks people where that is needed and was not done yet; else issues, on what they said."""
        case, key = course.case, known(course.key)
        if plan.approval is not None and tried is None:
            return await self.ask(case, key, plan)
        held = await self.ask.held(approval, case, plan)
        course.is_authorizing = True
        return await self._granted(case, key, plan, tried, held)

    async def _granted(self, case: Case, key: RequestKey, plan: Plan, tried: Grant | None, held: Held | None) -> Issued:
        """Records that everything was proven: from here on STS may be called, and nothing of it is forgotten."""
        grant_id = tried.grant_id if tried else GrantId(opaque_id(self.entropy(TASK_ID_BYTES)))
        authorization = authorization_of(case, key, plan, grant_id, self.entropy, held=held)
        authorization = self.ask.with_review(case, plan, authorization, tried)
        await self.ledger.authorize(authorization)
        return await self._issued(authorization.grant, case, key)

    async def _live_again(self, before: Remembered, case: Case) -> Grant:
        """Returns the live grant of a repeat, whose recorded policy STS will get again; raises the same refusal."""
        if before.refusal is not None:
            raise before.refusal
        grant = known(before.grant)
        if grant.state is GrantState.AUTHORIZED:
            raise Outage(
                Reason.STS_UNAVAILABLE,
                "the first call with this request_id has no outcome yet: repeat it in a second",
                retry_after=timedelta(seconds=1),
            )
        await self.ledger.check_presented(case.presented)
        task = await self.ledger.task(grant.task_id)
        if task is None or not task.is_live(case.time) or not grant.may_be_repeated(case.time):
            raise Denied(Reason.GRANT_NOT_LIVE, "the grant of this request_id is over: ask with a new one")
        self.hearing.called_for(task.task_id)
        await self.hearing.deliberate.again(grant, case.actor, await self.hearing.own_above(grant, case.time))
        if (token := single_use_token(case)) is not None:
            await self.ledger.tie_token(token, grant)
        return grant

    async def _issued(self, grant: Grant, case: Case, key: RequestKey, *, repeated: bool = False) -> Issued:
        """Hands the credentials of the grant out; withholds them when anything fails."""
        hand_out = HandOut(self.ledger, self.assume_role, self.clock, self.hearing.ceilings)
        return await hand_out(grant, case.who, key.request_id, repeated=repeated)

    async def _refused(self, error: Exception, course: _Course) -> None:
        """Records the no. A decision is remembered for repeats, an outage and a malformed request are not."""
        case, request_id, digest = course.case, course.request.request_id, self.hearing.ceilings.digest
        record = refusal_record(error, case, request_id=request_id, method=METHOD, ceiling_digest=digest)
        # NOTE: what came with the request was refused, not the request: with a fresh login it may be repeated.
        remembered = error if isinstance(error, Denied) and error.reason not in _OF_WHAT_WAS_PRESENTED else None
        kept = case.basis.texts if case.basis else ()
        await self.ledger.refuse(course.key if remembered else None, remembered, record, kept=kept)
        self.hearing.observe(case, error)
