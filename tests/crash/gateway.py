"""The gateway of a crash round: the real use cases on the real ledger, with an STS that tells before it answers.

Identity and policy are rules of the driver's own: their tests are elsewhere, and neither needs the ledger.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from tests.crash.steps import Stepped, Steps
from tests.fakes import READ_REPORTS, ROLES

from remit_server.adapters.aws.sts_protocol import assume_role_body
from remit_server.adapters.database.approvals.approvals import DatabaseApprovals
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.lifecycle.delegating import DatabaseDelegations
from remit_server.adapters.database.lifecycle.leases import DatabaseLeases
from remit_server.adapters.database.lifecycle.renewals import DatabaseRenewals
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.revoking.denies import DatabaseDenies
from remit_server.adapters.database.revoking.heard_events import DatabaseSecurityEvents
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.trail.signal_log import DatabaseSignals
from remit_server.application.approvals.ask_approval import AskApproval
from remit_server.application.attenuation.attenuate_credentials import AttenuateCredentials
from remit_server.application.delegating.delegate_task import DelegateTask
from remit_server.application.issuing.end_task import EndTask
from remit_server.application.issuing.hearing import Hearing
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.application.lifecycle.renew_credentials import RenewCredentials
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.deliberation import Deliberation
from remit_server.application.ports import Revision
from remit_server.application.revocation.revoke_grants import RevokeGrants
from remit_server.domain.credentials import Credentials, SessionOrder, StsSession
from remit_server.domain.decision import Allow, DecisionInput
from remit_server.domain.entitlement import ApprovalRule, Role
from remit_server.domain.identity import Actor, ActorKind, Delegation, Principal
from remit_server.domain.secret import Secret

ISSUER = "https://idp.example"
CAREFUL = "careful"  # agents of this name get nothing that nobody approved
APPROVERS = ("leads",)


@dataclass
class MovedClock:
    """The system's time from a given hour on, and on at a word: nobody waits a minute for an orphan."""

    start: datetime
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """Returns the time of this round."""
        return self.start + timedelta(seconds=time.monotonic() - self._began)

    def monotonic(self) -> float:
        """Returns the system's."""
        return time.monotonic()

    def move(self, **units: float) -> None:
        """Moves it on."""
        self.start += timedelta(**units)


@dataclass(frozen=True, slots=True)
class Login:
    """A user's login to an agent: what both present afterwards was issued then. With `jti` it is good for one task."""

    user: str
    agent: str
    time: datetime
    jti: str | None = None

    @property
    def token(self) -> Secret:
        """What the agent presents."""
        return Secret(json.dumps([self.user, self.agent, self.time.isoformat(), self.jti]))

    @property
    def actor(self) -> Actor:
        """The agent, whose own proof is as old."""
        return Actor(f"corp:{self.agent}", ActorKind.OIDC, ISSUER, agent=self.agent, token_issue_time=self.time)


async def verified(token: Secret, actor: Actor, /) -> Delegation:
    """Takes a login at its word (implements `VerifyDelegation`)."""
    user, _, login_time, jti = json.loads(token.reveal())
    issued = datetime.fromisoformat(login_time)
    return Delegation(
        Principal(ISSUER, "corp", user, user, groups=("analysts",)),
        actor,
        token.fingerprint,
        issued,
        issued + timedelta(hours=1),
        token_id=jti,
        single_use=jti is not None,
    )


@dataclass
class AllowsReports:
    """Allows to read reports (implements `Policy`), by whichever revision is active once it is told to follow."""

    active: Revision
    revisions: DatabaseRevisions

    async def follow(self, _activation: int, /) -> None:
        """Looks at what is active."""
        if (activation := await self.revisions.active()) is not None:
            self.active = Revision(activation.revision, {})

    async def decide(self, _revision: Revision, question: DecisionInput, /) -> Allow:
        """Needs people where the agent is a careful one."""
        agent = json.loads(question.text)["actor"]["id"].removeprefix("corp:")
        approval = ApprovalRule(APPROVERS) if agent.startswith(CAREFUL) else None
        return Allow((replace(READ_REPORTS, approval=approval),))


class TellingSts:
    """Tells of every call before it answers it; answers, fails or stays silent as it is told."""

    def __init__(self, clock: MovedClock, steps: Steps) -> None:
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Semaphore(0)
        self._clock = clock
        self._steps = steps

    async def __call__(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
        """Makes credentials that nobody has had before."""
        assert deadline > self._clock.monotonic()
        form = dict(parse_qsl(assume_role_body(order).decode(), keep_blank_values=True))
        self._steps.tell("sts", form=form, time=self._clock.now().isoformat())
        self.called.release()
        self._steps("STS was asked")
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        key = "ASIA" + secrets.token_hex(8).upper()
        end = self._clock.now() + timedelta(seconds=order.duration_seconds)
        return StsSession(Credentials(key, Secret(key), Secret(key), end), 7)


@dataclass
class Gateway:
    """One process of a gateway. Mutants change what it is made of."""

    steps: Steps
    clock: MovedClock
    ledger: DatabaseLedger
    sts: TellingSts
    issue: IssueCredentials
    renew: RenewCredentials
    attenuate: AttenuateCredentials
    delegate: DelegateTask
    end: EndTask
    approvals: Any
    renewals: Any
    leases: Any
    signals: Any
    revocations: Any
    denies: DatabaseDenies
    events: DatabaseSecurityEvents
    revisions: Any

    @property
    def revoke(self) -> RevokeGrants:
        """The use case of revoking."""
        return RevokeGrants(self.revocations, secrets.token_bytes)


@asynccontextmanager
async def opened_gateway(
    url: str, start: datetime, revision: str, steps: Steps, roles: tuple[Role, ...] = ROLES
) -> AsyncIterator[Gateway]:
    """Opens the ledger as a starting gateway does and wires the use cases to it, every port in steps."""
    clock = MovedClock(start)
    sts = TellingSts(clock, steps)
    asked: Any = Stepped(sts, "STS", steps)
    async with open_ledger(url, clock, denying=True) as ledger:
        deliberate = Deliberation(Ceilings.of(roles, (), "c" * 64))
        stepped: Any = Stepped(ledger, "ledger", steps)
        approvals: Any = Stepped(DatabaseApprovals(ledger.store), "approvals", steps)
        renewals: Any = Stepped(DatabaseRenewals(ledger.store), "renewals", steps)
        revisions = DatabaseRevisions(ledger.store)
        policy = AllowsReports(Revision(revision, {}), revisions)
        await policy.follow(0)
        hearing = Hearing(verified, policy, stepped, deliberate, clock)
        ask = AskApproval(approvals, secrets.token_bytes, timedelta(hours=1))
        delegations: Any = Stepped(DatabaseDelegations(ledger.store), "delegations", steps)
        issue = IssueCredentials(hearing, stepped, asked, clock, secrets.token_bytes, ask)
        yield Gateway(
            steps=steps,
            clock=clock,
            ledger=ledger,
            sts=sts,
            issue=issue,
            renew=RenewCredentials(hearing, stepped, renewals, lambda _: True, asked, clock, ask, issue.to_the_end),
            attenuate=AttenuateCredentials(
                hearing, stepped, renewals, asked, clock, secrets.token_bytes, lambda: None, issue.to_the_end
            ),
            delegate=DelegateTask(delegations, stepped, clock, secrets.token_bytes, lambda _: None, deepest=3),
            end=EndTask(stepped, clock, lambda: None),
            approvals=approvals,
            renewals=renewals,
            leases=Stepped(DatabaseLeases(ledger.store), "leases", steps),
            signals=Stepped(DatabaseSignals(ledger.store), "signals", steps),
            revocations=Stepped(DatabaseRevocations(ledger.store), "revocations", steps),
            denies=DatabaseDenies(ledger.store),
            events=DatabaseSecurityEvents(ledger.store),
            revisions=Stepped(revisions, "revisions", steps),
        )
        deliberate.close()
