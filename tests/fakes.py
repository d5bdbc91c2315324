"""Fakes of the ports, each with the reason why a real part would not do."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.databases import Place
from tests.sts_log import LOG, Ceiling

from remit.v1.credential_service_pb2 import DESCRIPTOR
from remit_server.adapters.aws.sts_protocol import assume_role_body
from remit_server.adapters.database.approvals.approvals import DatabaseApprovals
from remit_server.adapters.database.engine import open_for_reading
from remit_server.adapters.database.following.follower import following
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.lifecycle.delegating import DatabaseDelegations
from remit_server.adapters.database.lifecycle.leases import DatabaseLeases
from remit_server.adapters.database.lifecycle.renewals import DatabaseRenewals
from remit_server.adapters.database.lifecycle.task_news import DatabaseTaskNews
from remit_server.adapters.database.trail.audit_log import AuditLog
from remit_server.application.admission import Admission, Budget, Places, Rejections, SubjectBudget
from remit_server.application.approvals.ask_approval import AskApproval, Pending
from remit_server.application.attenuation.attenuate_credentials import AttenuateCredentials
from remit_server.application.attenuation.attenuations import AttenuateRequest
from remit_server.application.caller.identify_caller import IdentifyCaller
from remit_server.application.caller.recall_decision import RecallDecision
from remit_server.application.delegating.delegate_task import DelegateRequest, DelegateTask
from remit_server.application.issuing.end_task import EndTask
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.hearing import Hearing
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.application.issuing.preview_credentials import PreviewCredentials
from remit_server.application.issuing.requests import Ask, IssueRequest
from remit_server.application.lifecycle.renew_credentials import RenewCredentials
from remit_server.application.lifecycle.renewals import RenewRequest
from remit_server.application.lifecycle.watch_task import WatchTask
from remit_server.application.lifecycle.watching import Watching
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.deliberation import Deliberation
from remit_server.application.ports import Revision
from remit_server.domain.audit import ChainedEvent
from remit_server.domain.capability import CapabilityTemplate
from remit_server.domain.credentials import Credentials, SessionOrder, StsSession
from remit_server.domain.decision import Allow, Decision, DecisionInput
from remit_server.domain.entitlement import Entitlement, Role
from remit_server.domain.errors import Denied, FieldViolation, Outage, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Actor, ActorKind, Admitted, Caller, Delegation, Principal
from remit_server.domain.permission import Permission
from remit_server.domain.secret import Secret
from remit_server.domain.task import Capability, TaskId, TaskIntent
from remit_server.iam import ActionPattern, Condition, Document, ResourcePattern

ACCOUNT = "111122223333"
REPORTS_ROLE = f"arn:aws:iam::{ACCOUNT}:role/remit-reports"
DATA_ROLE = f"arn:aws:iam::{ACCOUNT}:role/remit-data"
OFTEN = timedelta(seconds=0.02)  # what a gateway does a few times a second, and every other second
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """Tells the time a test sets: a real clock cannot be moved across an expiry without waiting for it."""

    def __init__(self, start: datetime = NOON) -> None:
        self.time = start

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def advance(self, **units: float) -> None:
        self.time += timedelta(**units)


class FakeIdentity:
    """Knows callers by a table: token verification has tests of its own, and real signatures would only slow these."""

    def __init__(self) -> None:
        self.actors: dict[str, Actor] = {}
        self.subjects: dict[str, Delegation] = {}
        self.offline = True

    def accepts_offline(self, issuer: str, /) -> bool:
        return self.offline and any(known.subject.issuer == issuer for known in self.subjects.values())

    def mistake(self, agent: str) -> FieldViolation | None:
        """Says that there are no other agents than those of the table."""
        known = {actor.actor_id for actor in self.actors.values()}
        return None if agent in known else FieldViolation("target.actor", "no agent can have this name")

    async def authenticate(self, caller: Caller, /) -> Actor:
        try:
            return self.actors[caller.unverified_bearer.reveal() if caller.unverified_bearer else ""]
        except KeyError:
            raise Denied(Reason.ACTOR_REJECTED, "who is calling is not known") from None

    async def verify(self, unverified_subject_token: Secret, actor: Actor, /) -> Delegation:
        delegation = self.subjects.get(unverified_subject_token.reveal())
        if delegation is None:
            raise Denied(Reason.SUBJECT_TOKEN_REJECTED, "the subject token is not valid")
        if delegation.actor != actor:
            raise Denied(Reason.TOKEN_NOT_BOUND, "the subject token was not given to this agent")
        return delegation


class ScriptedPolicy:
    """Answers what a test says: decisions are needed that a sane policy never gives."""

    def __init__(self, answer: Decision | BaseException, capabilities: Mapping[str, CapabilityTemplate]) -> None:
        self.answer = answer
        self.questions: list[dict[str, Any]] = []
        self.active = Revision("5" * 64, capabilities)
        self.changes: list[tuple[Revision, Decision]] = []  # what is active next, and what it answers

    async def follow(self, activation: int, /) -> None:
        del activation
        if not self.changes:
            raise Outage(Reason.POLICY_UNAVAILABLE, "the active revision is not loaded yet")
        self.active, self.answer = self.changes.pop(0)

    async def decide(self, revision: Revision, question: DecisionInput, /) -> Decision:
        assert revision is self.active
        self.questions.append(json.loads(question.text))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class ScriptedSts:
    """Answers AssumeRole at will and keeps every order: STS's own faults cannot be called for on the real one.

    Each order goes to the log of invariant I3, as the request that the adapter would make of it.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.orders: list[SessionOrder] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.called = asyncio.Event()
        self._clock = clock

    async def __call__(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
        assert deadline > self._clock.monotonic()
        self.orders.append(order)
        form = dict(parse_qsl(assume_role_body(order).decode(), keep_blank_values=True))
        LOG.note(form, outcome="scripted", at=self._clock.now())
        self.called.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        key = f"ASIA{len(self.orders):016d}"
        end = self._clock.now() + timedelta(seconds=order.duration_seconds)
        return StsSession(Credentials(key, Secret("secret-" + key), Secret("token-" + key), end), 7)


def given(outcome: Issued | Pending) -> Issued:
    """Returns what was issued; fails when people are waited for instead."""
    assert isinstance(outcome, Issued), outcome
    return outcome


def permission(actions: Sequence[str] | str, resources: Sequence[str] | str, *conditions: Condition) -> Permission:
    """Returns a permission out of plain text."""
    return Permission(
        tuple(ActionPattern.parse(item) for item in ([actions] if isinstance(actions, str) else actions)),
        tuple(ResourcePattern.parse(item) for item in ([resources] if isinstance(resources, str) else resources)),
        conditions,
    )


def entitlement(name: str, *permissions: Permission, role_arn: str = REPORTS_ROLE, **more: Any) -> Entitlement:
    """Returns an entitlement with an hour for credentials and eight for the task."""
    times = {"max_credential": timedelta(hours=1), "max_task": timedelta(hours=8)}
    return Entitlement(name, role_arn, permissions, **{**times, **more})


def role(arn: str, *, actions: Sequence[str], resources: Sequence[str], **more: Any) -> Role:
    """Returns a role whose own policy allows these actions on these resources."""
    ceiling = Document.parse(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}],
        }
    )
    return Role(arn, "eu-central-1", ceiling, **{"max_session": timedelta(hours=1), **more})


READ_REPORTS = entitlement(
    "reports-reader",
    permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"),
    permission("s3:ListBucket", "arn:aws:s3:::reports"),
)
READ_ORDERS = entitlement(
    "orders-reader",
    permission("dynamodb:GetItem", f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/orders"),
    role_arn=DATA_ROLE,
)
ROLES = (
    role(REPORTS_ROLE, actions=["s3:*"], resources=["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]),
    role(DATA_ROLE, actions=["dynamodb:*"], resources=[f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/*"]),
)


@dataclass
class World:
    """A gateway's use cases on a real ledger; identity, policy, STS and time are fakes."""

    ledger: DatabaseLedger
    database: Any
    clock: FakeClock
    identity: FakeIdentity
    policy: ScriptedPolicy
    sts: ScriptedSts
    rejections: Rejections
    admit: Admission
    admit_streams: Admission
    issue: IssueCredentials
    preview: PreviewCredentials
    renew: RenewCredentials
    end: EndTask
    watch: WatchTask
    approvals: DatabaseApprovals
    attenuate: AttenuateCredentials
    identify: IdentifyCaller
    recall: RecallDecision
    delegate: DelegateTask
    copilot: Actor = field(init=False)

    def __post_init__(self) -> None:
        self.copilot = self.agent("copilot")
        self.user("alice", self.copilot)

    def agent(self, name: str) -> Actor:
        """Makes an agent known; its bearer token is its name."""
        actor = Actor(f"corp:{name}", ActorKind.OIDC, "https://idp.example", agent=name)
        self.identity.actors[name] = actor
        return actor

    def user(self, name: str, actor: Actor, **more: Any) -> None:
        """Makes a user's token known, given to this agent; the token is `<user>@<agent>`."""
        subject = Principal("https://idp.example", "corp", name, name, groups=("analysts",))
        token = f"{name}@{actor.agent}"
        self.identity.subjects[token] = Delegation(
            subject,
            actor,
            Secret(token).fingerprint,
            NOON,
            NOON + timedelta(hours=1),
            **more,
        )

    def mail(self, name: str, address: str) -> None:
        """Gives a user that is known a verified address."""
        for token, delegation in self.identity.subjects.items():
            if delegation.subject.subject == name:
                subject = replace(delegation.subject, email=address)
                self.identity.subjects[token] = replace(delegation, subject=subject)

    def admitted(self, agent: str = "copilot") -> Admitted:
        """Returns an agent as the door lets it in."""
        return Admitted(self.identity.actors[agent], "127.0.0.1")

    def ask(self, *permissions: Permission, agent: str = "copilot", user: str = "alice", **more: Any) -> Ask:
        """Returns what an agent asks for; reading the third quarter's reports unless said otherwise."""
        wanted = permissions or (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),)
        capabilities: tuple[Capability, ...] = more.pop("capabilities", ())
        return Ask(
            self.admitted(agent),
            Secret(more.pop("token", f"{user}@{agent}")),
            TaskId(task) if (task := more.pop("task_id", None)) else None,
            TaskIntent("summarise Q3", () if capabilities else wanted, capabilities),
            **more,
        )

    def request(self, *permissions: Permission, request_id: str | None = None, **more: Any) -> IssueRequest:
        """Returns an issue request with a fresh id unless one is given."""
        return IssueRequest(request_id or secrets.token_hex(16), self.ask(*permissions, **more))

    def renewal(self, grant: Grant, *, agent: str = "copilot", user: str = "alice", **more: Any) -> RenewRequest:
        """Returns a wish for new credentials of a grant; `user` empty: the user is not there."""
        token = Secret(more.pop("token", f"{user}@{agent}" if user else ""))
        return RenewRequest(self.admitted(agent), grant.task_id, grant.grant_id, token, **more)

    def attenuation(
        self, grant: Grant, *permissions: Permission, agent: str = "copilot", request_id: str | None = None, **more: Any
    ) -> AttenuateRequest:
        """Returns a wish for a part of a grant; one report of the third quarter unless said otherwise."""
        wanted = permissions or (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.md"),)
        capabilities: tuple[Capability, ...] = more.pop("capabilities", ())
        intent = TaskIntent("read one report", () if capabilities else wanted, capabilities)
        names = {"task_id": grant.task_id, "grant_id": grant.grant_id, **more}
        return AttenuateRequest(self.admitted(agent), request_id or secrets.token_hex(16), intent=intent, **names)

    def delegation(self, task_id: str, to: str, *, agent: str = "copilot", **more: Any) -> DelegateRequest:
        """Returns a wish of an agent's to hand a task of its own on to another agent."""
        request_id = more.pop("request_id", None) or secrets.token_hex(16)
        named = self.identity.actors[to].actor_id if to in self.identity.actors else to
        return DelegateRequest(self.admitted(agent), request_id, TaskId(task_id), named, "read the reports", **more)

    async def trail(self) -> list[str]:
        """Returns the kinds of the audit records, in order."""
        return [event.kind for event in await self.events()]

    async def events(self) -> list[ChainedEvent]:
        """Returns the audit events, in order."""
        database = open_for_reading(self.database)
        try:
            return [event async for event in AuditLog(database).events()]
        finally:
            await database.close()


@asynccontextmanager
async def world(
    folder: Path,
    *entitlements: Entitlement,
    roles: tuple[Role, ...] = ROLES,
    capabilities: Mapping[str, CapabilityTemplate] | None = None,
    per_minute: int = 1000,
    per_actor: int = 128,
    per_subject: int = 1_000_000,
    clock: FakeClock | None = None,
    place: Place | None = None,
    engine: Any = None,
    ceilings_digest: str = "c" * 64,
    deepest: int = 3,
) -> AsyncIterator[World]:
    """Builds a world whose policy allows these entitlements, reading reports when none are given.

    Its ledger is at the place, or in a file in the folder. With an `engine` that decides instead of a script.
    """
    clock, identity = clock or FakeClock(), FakeIdentity()
    for known in roles:
        LOG.configure(known.arn, Ceiling(known.ceiling.text, tuple(str(action) for action in known.reopened)))
    policy = engine or ScriptedPolicy(Allow(entitlements or (READ_REPORTS,)), capabilities or {})
    sts = ScriptedSts(clock)
    database = folder / "remit.sqlite3" if place is None else place
    async with open_ledger(database, clock) as ledger, following(ledger.store, database) as follow:
        rejections = Rejections(ledger, clock)
        deliberate = Deliberation(Ceilings.of(roles, (), ceilings_digest))
        leases, news = DatabaseLeases(ledger.store), DatabaseTaskNews(ledger.store)
        watching = Watching(follow, news, leases, clock, OFTEN)
        watch = WatchTask(leases, news, watching, ledger, clock)
        spend = SubjectBudget(Budget(clock, per_subject))
        hearing = Hearing(identity.verify, policy, ledger, deliberate, clock, watching.called_for, spend=spend)
        methods = [method.name for method in DESCRIPTOR.services_by_name["CredentialService"].methods]
        budgets = dict.fromkeys(methods, Budget(clock, per_minute))
        admit = Admission(identity.authenticate, rejections, ledger, budgets, Places(per_actor))
        admit_streams = replace(admit, places=Places(per_actor, "streams"))
        approvals = DatabaseApprovals(ledger.store)
        ask = AskApproval(approvals, secrets.token_bytes, timedelta(hours=1))
        issue = IssueCredentials(hearing, ledger, sts, clock, secrets.token_bytes, ask)
        preview = PreviewCredentials(hearing, ledger, clock)
        renewals = DatabaseRenewals(ledger.store)
        renew = RenewCredentials(hearing, ledger, renewals, identity.accepts_offline, sts, clock, ask, issue.to_the_end)
        end = EndTask(ledger, clock, lambda: None)
        delegations = DatabaseDelegations(ledger.store)
        delegate = DelegateTask(delegations, ledger, clock, secrets.token_bytes, identity.mistake, deepest)
        yield World(
            ledger,
            database,
            clock,
            identity,
            policy,
            sts,
            rejections,
            admit,
            admit_streams,
            issue,
            preview,
            renew,
            end,
            watch,
            approvals,
            AttenuateCredentials(
                hearing, ledger, renewals, sts, clock, secrets.token_bytes, lambda: None, issue.to_the_end
            ),
            IdentifyCaller(hearing, ledger, clock),
            RecallDecision(ledger),
            delegate,
        )
        deliberate.close()
