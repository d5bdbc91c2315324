"""Whoever calls the gateway in a crash round: tells what it asks before it asks, and what it has once it has it."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.crash.gateway import APPROVERS, ISSUER, Gateway, Login
from tests.fakes import permission

from remit_server.adapters.database.policies.publishing import PART_BYTES
from remit_server.application.approvals.ask_approval import Pending
from remit_server.application.attenuation.attenuations import AttenuateRequest
from remit_server.application.delegating.delegate_task import DelegateRequest
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.requests import Ask, IssueRequest
from remit_server.application.lifecycle.renew_credentials import Renewed
from remit_server.application.lifecycle.renewals import RenewRequest
from remit_server.application.policy.ports import ActivationOrder, NewRevision
from remit_server.domain.approval import Approval, Vote
from remit_server.domain.errors import RemitError
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Admitted
from remit_server.domain.policy_revision import BundleFacts, RevisionSource
from remit_server.domain.revocation import RevokeCause, Revoked, Target, TargetKind
from remit_server.domain.security_event import SecurityEvent, SecurityEventKind
from remit_server.domain.task import GrantId, TaskId, TaskIntent

ACCOUNT = "111122223333"
HOLDER = "writer-1"
_ONE_REPORT = TaskIntent("read one", (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/x"),))
_INTENT = TaskIntent("summarise Q3", (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),))


@dataclass
class Caller:
    """Calls one gateway; `round_id` makes the names of this round its own."""

    gateway: Gateway
    round_id: str
    waiting: Approval | None = None
    asking: list[asyncio.Task[Issued | None]] = field(default_factory=list)
    _asked: int = 0
    _refused: list[str] = field(default_factory=list)

    @property
    def shared_id(self) -> str:
        """What the processes of a round have in common."""
        return self.round_id[:-1]

    def login(
        self, user: str = "alice", agent: str = "copilot", *, single_use: bool = False, everywhere: bool = False
    ) -> Login:
        """Logs a user of this round in, now; one that is `everywhere` is the same in all of its processes."""
        self._asked += 1
        whose = self.shared_id if everywhere else self.round_id
        jti = f"jti-{whose}-{self._asked}" if single_use else None
        return Login(f"{user}-{whose}", f"{agent}-{whose}", self.gateway.clock.now(), jti)

    def request_id(self) -> str:
        """Returns one that nobody has used."""
        self._asked += 1
        return f"request-{self.round_id}-{self._asked}"

    async def ask(
        self, login: Login, *, request_id: str | None = None, task: TaskId | str | None = None
    ) -> Issued | None:
        """Asks for credentials; None says that there were none."""
        request_id = request_id or self.request_id()
        self._tell("asking", login, request=request_id, task=task)
        ask = Ask(Admitted(login.actor, "127.0.0.1"), login.token, TaskId(task) if task else None, _INTENT)
        try:
            outcome = await self.gateway.issue(IssueRequest(request_id, ask))
        except RemitError as error:
            self.refused(request_id, error)
            return None
        if isinstance(outcome, Pending):
            self.waiting = outcome.approval
            self.gateway.steps.tell("refused", request=request_id, reason="PENDING", message="people are asked")
            return None
        self.given(request_id, outcome.grant, outcome.credentials.access_key_id)
        return outcome

    def given(self, request_id: str, grant: Grant, key: str) -> None:
        """Has the credentials."""
        self.gateway.steps("before the caller has them")
        self.gateway.steps.tell("given", request=request_id, key=key, grant=grant.grant_id, task=grant.task_id)
        self.gateway.steps("the caller has them")

    async def asked(self, login: Login, **more: Any) -> Issued:
        """Asks for what must be given."""
        issued = await self.ask(login, **more)
        assert issued is not None, self._refused
        return issued

    def refused(self, what: str, error: RemitError) -> None:
        """Is told no."""
        self._refused.append(f"{what}: {error.reason.value} {error.message}")
        self.gateway.steps.tell("refused", request=what, reason=error.reason.value, message=error.message)

    async def renew(self, login: Login, issued: Issued) -> Renewed | None:
        """Asks for new credentials of a grant."""
        request_id, grant = self.request_id(), issued.grant
        self._tell("asking", login, request=request_id, task=grant.task_id, renews=grant.grant_id)
        admitted = Admitted(login.actor, "127.0.0.1")
        try:
            renewed = await self.gateway.renew(RenewRequest(admitted, grant.task_id, grant.grant_id, login.token))
        except RemitError as error:
            self.refused(request_id, error)
            return None
        self.given(request_id, renewed.grant, renewed.credentials.access_key_id)
        return renewed

    async def attenuate(self, login: Login, issued: Issued, *, request_id: str | None = None) -> Issued | None:
        """Asks for a part of a grant, for one call."""
        request_id, grant = request_id or self.request_id(), issued.grant
        self._tell("asking", login, request=request_id, task=grant.task_id)
        admitted = Admitted(login.actor, "127.0.0.1")
        request = AttenuateRequest(admitted, request_id, grant.task_id, grant.grant_id, _ONE_REPORT)
        try:
            part = await self.gateway.attenuate(request)
        except RemitError as error:
            self.refused(request_id, error)
            return None
        self.given(request_id, part.grant, part.credentials.access_key_id)
        return part

    async def delegate(self, login: Login, issued: Issued, below: Login, *, request_id: str) -> TaskId:
        """Hands a task of its own on to another agent, of the same user."""
        self.gateway.steps.tell("delegating", request=request_id)
        by = Admitted(login.actor, "127.0.0.1")
        request = DelegateRequest(by, request_id, issued.grant.task_id, below.actor.actor_id, "read one")
        task = await self.gateway.delegate(request)
        self.gateway.steps.tell("delegated", request=request_id, task=task.task_id)
        self.gateway.steps("the agent knows the task")
        return task.task_id

    async def decide(self, *, approve: bool = True) -> None:
        """Is a person who is asked, and says yes or no to what waits."""
        assert self.waiting is not None
        asked, now = self.waiting, self.gateway.clock.now()
        vote = Vote("https://corp.example", "lea", approve, "", now, APPROVERS, frozenset({"lea"}))
        await self.gateway.approvals.decide(asked.approval_id, asked.digest, vote)
        self.gateway.steps.tell("decided", approval=asked.approval_id, approved=approve)
        self.gateway.steps("the approver knows")

    async def revoke(self, target: Target, *, block: bool = False) -> Revoked | None:
        """Revokes on a person's word."""
        self.gateway.steps.tell("revoking", kind=target.kind.value, key=target.key, block=block)
        try:
            revoked = await self.gateway.revoke(
                target, cause=RevokeCause.REQUESTED, by="acme:sam", why="a drill", block=block
            )
        except RemitError as error:
            self.refused(str(target), error)
            return None
        self.gateway.steps("before the revoker knows")
        self.gateway.steps.tell("revoked", revocation=revoked.revocation_id, count=revoked.grant_count)
        self.gateway.steps("the revoker knows")
        return revoked

    async def publish(self) -> str:
        """Publishes a revision that nobody has published, of an archive in several parts; returns its digest."""
        self._asked += 1
        revision = hashlib.sha256(f"{self.round_id}-{self._asked}".encode()).hexdigest()
        new = NewRevision(BundleFacts(revision, 1, None, "", 1, 0, 0), b"a" * (PART_BYTES + 1))
        await self.gateway.revisions.publish(new, by="acme:sam", source=RevisionSource.OPERATOR)
        return revision

    async def activate(self, revision: str, *, revoke_issued: bool = False) -> None:
        """Activates a revision on a person's word."""
        self._asked += 1
        why = f"{self.round_id}-{self._asked}"
        self.gateway.steps.tell("activating", revision=revision, why=why, revoke_issued=revoke_issued)
        order = ActivationOrder(revision, by="acme:sam", why=why, revoke_issued=revoke_issued)
        await self.gateway.revisions.activate(order)
        self.gateway.steps("before the operator knows")
        self.gateway.steps.tell("activated", revision=revision, why=why)
        self.gateway.steps("the operator knows")

    async def end(self, login: Login, task_id: TaskId) -> None:
        """Ends a task of its own."""
        self.gateway.steps.tell("ending", task=task_id)
        try:
            await self.gateway.end(Admitted(login.actor, "127.0.0.1"), task_id)
        except RemitError as error:
            self.refused(task_id, error)
            return
        self.gateway.steps("before the agent knows")
        self.gateway.steps.tell("ended", task=task_id)
        self.gateway.steps("the agent knows")

    async def lift(self, block_id: str) -> None:
        """Lifts a block."""
        await self.gateway.revocations.lift(block_id, "acme:sam", "it was a drill")
        self.gateway.steps.tell("lifted", block=block_id)

    async def sweep(self) -> None:
        """Does the housekeeping of every five seconds."""
        now = self.gateway.clock.now()
        await self.gateway.issue.ledger.sweep(now)
        await self.gateway.renewals.sweep(now)
        await self.gateway.leases.sweep(now)
        await self.gateway.signals.prune(now)
        self.gateway.steps.tell("swept", time=now.isoformat())

    async def keep(self, login: Login, task_id: TaskId) -> None:
        """Takes a lease on its task: it ends when nobody keeps it for half a minute."""
        await self.gateway.leases.take(Admitted(login.actor, "127.0.0.1"), task_id, timedelta(seconds=30))
        self.gateway.steps.tell("leased", task=task_id)

    async def heard(self, kind: SecurityEventKind, login: Login) -> None:
        """Is the identity provider."""
        self._asked += 1
        event_id = f"event-{self.round_id}-{self._asked}"
        event = SecurityEvent(kind, ISSUER, login.user, self.gateway.clock.now(), "ssf:corp", event_id, "a drill")
        await self.gateway.events.revoke_for_event(event)
        self.gateway.steps.tell("heard", event=event_id, kind=kind.value, user=login.user)

    async def write_denies(self, *, drop: bool = False) -> None:
        """Does as the writer of the account does: what is wanted is written, then seen to work."""
        denies, clock = self.gateway.denies, self.gateway.clock
        if not await denies.hold(ACCOUNT, HOLDER, 30):
            return
        numbers = [one.number for one in await denies.wanted(ACCOUNT, clock.now())]
        await denies.denied(ACCOUNT, HOLDER, numbers, clock.now(), clock.now())
        self.gateway.steps.tell("written", numbers=numbers)
        await denies.observed(ACCOUNT, HOLDER, numbers, clock.now())
        self.gateway.steps.tell("observed", numbers=numbers)
        if drop:
            before = clock.now()
            self.gateway.steps.tell("dropping", before=before.isoformat())
            await denies.dropped(ACCOUNT, HOLDER, before)

    def _tell(self, what: str, login: Login, **more: Any) -> None:
        time = login.time.isoformat()
        self.gateway.steps.tell(what, user=login.user, agent=login.agent, time=time, jti=login.jti, **more)


def grant_target(issued: Issued) -> Target:
    """Aims at one grant."""
    return Target(TargetKind.GRANT, GrantId(issued.grant.grant_id))


def task_target(issued: Issued) -> Target:
    """Aims at its task."""
    return Target(TargetKind.TASK, issued.grant.task_id)


def subject_target(issued: Issued) -> Target:
    """Aims at its user."""
    return Target(TargetKind.SUBJECT, issued.grant.subject_id, issued.grant.subject_issuer)


def actor_target(issued: Issued) -> Target:
    """Aims at its agent."""
    return Target(TargetKind.ACTOR, issued.grant.actor_id)


def revision_target(issued: Issued) -> Target:
    """Aims at the policy that decided it."""
    return Target(TargetKind.REVISION, issued.grant.policy_revision)
