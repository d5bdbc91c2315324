"""Gives narrower credentials out of a live grant, for one call of a tool: less of what its agent holds already."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit_server.application.attenuation.attenuations import AttenuateRequest, FindGrant, authorization_of
from remit_server.application.attenuation.planning import Attenuation, Wish, plan_attenuation, still_lies_within
from remit_server.application.issuing.flights import Flights
from remit_server.application.issuing.handing_out import HandOut, Issued
from remit_server.application.issuing.hearing import Hearing, check_duration
from remit_server.application.issuing.to_the_end import ToTheEnd
from remit_server.application.planning.choosing import EXACT, FAST
from remit_server.application.planning.circumstances import Circumstances
from remit_server.application.planning.deliberation import is_small
from remit_server.application.planning.drafting import Undetermined
from remit_server.application.planning.standing import recorded_policy
from remit_server.application.ports import AssumeRole, Authorization, Clock, Entropy, Ledger, Remembered
from remit_server.domain.audit import RequestRefused
from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest, Outage, Reason, told_of
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.permission import Permission, as_permissions
from remit_server.domain.task import TASK_ID_BYTES, GrantId, Task, opaque_id

METHOD = "AttenuateCredentials"
_OF_WHAT_WAS_PRESENTED = frozenset({Reason.SUBJECT_TOKEN_REJECTED, Reason.ACTOR_REJECTED})


@dataclass(frozen=True, slots=True)
class Held:
    """The grant that a request is about, as it stands, and its task."""

    grant: Grant
    task: Task


@dataclass(frozen=True, slots=True)
class AttenuateCredentials:
    """Finds the grant, proves the part of it, records, asks STS, records again, answers.

    No policy decides and no user is asked: nothing is given that the grant's own agent does not hold.
    """

    hearing: Hearing
    ledger: Ledger
    grants: FindGrant
    assume_role: AssumeRole
    clock: Clock
    entropy: Entropy
    unsettled_for: Callable[[], timedelta | None]
    to_the_end: ToTheEnd = field(default_factory=ToTheEnd)
    flights: Flights = field(default_factory=Flights)

    async def __call__(self, request: AttenuateRequest) -> Issued:
        """Returns credentials; raises RemitError, in which case nobody holds any and a record says why."""
        now, held = self.clock.now(), None
        async with self.flights(request.by.actor.actor_id, request.request_id):
            try:
                self._check_clock()
                before = await self._remembered(request)
                held = await self._held(request, now)
                if before is not None and before.grant is not None and before.is_answered:
                    again = await self._live_again(before.grant, request, held, now)
                    return await self.to_the_end(self._handed_out(again, request, held, repeated=True))
                plan = await self._planned(request, held, now)
                tried = before.grant if before else None
                grant_id = tried.grant_id if tried else GrantId(opaque_id(self.entropy(TASK_ID_BYTES)))
                self._check_clock()
                authorization = authorization_of(request, held.grant, plan, grant_id, now)
                return await self.to_the_end(self._granted(authorization, request, held))
            except Exception as error:
                await self._refused(error, request, held)
                raise

    def _check_clock(self) -> None:
        """Raises Outage while the clock was stepped: no end is reckoned from a time that may be wrong."""
        if (left := self.unsettled_for()) is not None:
            message = "internal error: the gateway's clock was stepped and has not settled; try again later"
            raise Outage(Reason.INTERNAL, message, retry_after=left)

    async def _remembered(self, request: AttenuateRequest) -> Remembered | None:
        """Returns what is known of the request; raises the same refusal, or InvalidRequest for another one's id."""
        before = await self.ledger.remembered(request.by.actor.actor_id, request.request_id)
        if before is not None and before.content_hash != request.key.content_hash:
            raise InvalidRequest([FieldViolation("request_id", "was used for another request: choose a new UUID")])
        if before is not None and before.refusal is not None:
            raise before.refusal
        return before

    async def _held(self, request: AttenuateRequest, now: datetime) -> Held:
        """Finds the grant and its task; raises Denied: NOT_FOUND unless it is this actor's, then what it is not."""
        grant = await self.grants.grant(request.grant_id)
        if grant is None or (grant.task_id, grant.actor_id) != (request.task_id, request.by.actor.actor_id):
            raise Denied(Reason.NOT_FOUND, "no such grant of this actor: ask for a new one")
        if grant.is_attenuated:
            message = (
                f"{grant.name} is an attenuated grant itself: attenuate the one it lies within, {grant.parent_name}"
            )
            raise Denied(Reason.DELEGATION_TOO_DEEP, message)
        task = await self.ledger.task(grant.task_id)
        if task is None or not task.is_live(now) or not grant.may_be_repeated(now):
            raise Denied(
                Reason.GRANT_NOT_LIVE, "the grant to attenuate is over, or was never issued: ask for a new one"
            )
        self.hearing.called_for(task.task_id)
        return Held(grant, task)

    async def _planned(self, request: AttenuateRequest, held: Held, now: datetime) -> Attenuation:
        """Plans what is wanted: at once where that is quick, else beside the loop, when it is the actor's turn."""
        check_duration(request.requested_duration)
        permissions = self._spelt_out(request, now)
        wish = Wish(permissions, request.requested_duration, request.narrow, held.grant, held.task, now)
        if not request.narrow and is_small(permissions) and _is_small(held.grant):
            try:
                return plan_attenuation(wish, self.hearing.ceilings, FAST)
            except Undetermined:
                pass
        deliberate = self.hearing.deliberate
        return await deliberate.beside_the_loop(
            request.by.actor.actor_id, plan_attenuation, wish, deliberate.ceilings, EXACT
        )

    def _spelt_out(self, request: AttenuateRequest, now: datetime) -> tuple[Permission, ...]:
        """Returns the intent in permissions, its capabilities by the active catalogue; raises InvalidRequest."""
        asked = Circumstances(
            permissions=request.intent.permissions,
            capabilities=request.intent.capabilities,
            requested=request.requested_duration,
            narrowed=request.narrow,
            task=None,
            token_end=None,
            approval_end=None,
            now=now,
        )
        return asked.spelt_out(self.hearing.policy.active.capabilities)

    async def _live_again(self, grant: Grant, request: AttenuateRequest, held: Held, now: datetime) -> Grant:
        """Returns the live grant of a repeat, whose recorded policy STS will get again, proven again."""
        if grant.state is GrantState.AUTHORIZED:
            raise Outage(
                Reason.STS_UNAVAILABLE,
                "the first call with this request_id has no outcome yet: repeat it in a second",
                retry_after=timedelta(seconds=1),
            )
        await self.ledger.check_presented(request.presented(held.grant))
        if not grant.may_be_repeated(now):
            raise Denied(Reason.GRANT_NOT_LIVE, "the grant of this request_id is over: ask with a new one")
        deliberate = self.hearing.deliberate
        if _is_small(grant) and _is_small(held.grant):
            try:
                still_lies_within(grant, held.grant, deliberate.ceilings, FAST)
            except Undetermined:
                pass
            else:
                return grant
        await deliberate.beside_the_loop(
            request.by.actor.actor_id, still_lies_within, grant, held.grant, deliberate.ceilings, EXACT
        )
        return grant

    async def _granted(self, authorization: Authorization, request: AttenuateRequest, held: Held) -> Issued:
        """Records that everything was proven: from here on STS may be called, and nothing of it is forgotten."""
        await self.ledger.authorize(authorization)
        return await self._handed_out(authorization.grant, request, held)

    async def _handed_out(
        self, grant: Grant, request: AttenuateRequest, held: Held, *, repeated: bool = False
    ) -> Issued:
        """Hands the credentials out; withholds them when anything fails, or the grant above was revoked meanwhile."""
        hand_out = HandOut(self.ledger, self.assume_role, self.clock, self.hearing.ceilings)
        return await hand_out(grant, request.who(held.grant), request.request_id, repeated=repeated)

    async def _refused(self, error: Exception, request: AttenuateRequest, held: Held | None) -> None:
        """Records the no. A refusal is remembered for repeats, an outage and a malformed request are not."""
        told, refusal = told_of(error), error.refusal if isinstance(error, Denied) else None
        record = RequestRefused(
            who=request.who(held.grant if held else None),
            request_id=request.request_id,
            method=METHOD,
            reason=told.reason.value,
            message=told.message,
            task_id=request.task_id,
            failures=tuple((one.action, one.resource, one.rule) for one in refusal.failures) if refusal else (),
        )
        remembered = error if isinstance(error, Denied) and error.reason not in _OF_WHAT_WAS_PRESENTED else None
        await self.ledger.refuse(request.key if remembered else None, remembered, record)


def _is_small(grant: Grant) -> bool:
    """Says whether comparing with a grant's session policy is a matter of a few milliseconds."""
    return is_small(as_permissions(recorded_policy(grant)))
