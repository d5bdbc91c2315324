"""The security side's use cases on a real ledger; identity and policy are fakes that a test tells what to say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes import NOON, World, world

from remit_server.adapters.database.revoking.revoked_operators import RevokedOperators
from remit_server.application.admission import Budget, Places
from remit_server.application.oversight.admitting import OperatorAdmission
from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.ports import Revision
from remit_server.domain.administration import AdminAllow, AdminDecision, AdminDeny, Scope, Visible
from remit_server.domain.decision import DecisionInput, PolicyReason
from remit_server.domain.errors import Denied, Reason, Remedy
from remit_server.domain.identity import Caller
from remit_server.domain.operator import Operator, OperatorKind

ISSUER = "https://idp.example"
SEES_ALL = AdminAllow(Visible(everything=True))
SEES_OWN = AdminAllow(Visible(own=True))
NO = AdminDeny((PolicyReason("not_an_administrator", "No right in the catalogue.", Remedy.GIVE_UP),))


def sees(**scope: frozenset[str]) -> AdminAllow:
    return AdminAllow(Visible(scopes=(Scope(**scope),)))


class ScriptedAdminPolicy:
    """Answers by the caller's id what a test says; strangers get a no, and so does everybody for closed RPCs."""

    def __init__(self) -> None:
        self.active = Revision("5" * 64, {})
        self.answers: dict[str, AdminDecision | BaseException] = {}
        self.closed: set[str] = set()
        self.questions: list[str] = []
        self.next: Revision | None = None

    async def follow(self, activation: int, /) -> None:
        del activation
        assert self.next is not None
        self.active = self.next

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        assert revision is self.active
        self.questions.append(question.text)
        if any(f'"rpc":"{rpc}"' in question.text for rpc in self.closed):
            return NO
        answer = next((said for name, said in self.answers.items() if f'"id":"{name}"' in question.text), NO)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@dataclass
class OperatorWorld:
    """A ledger with grants in it, and what operators reach of it."""

    inner: World
    policy: ScriptedAdminPolicy = field(default_factory=ScriptedAdminPolicy)
    operators: dict[str, Operator] = field(default_factory=dict)
    administrators: set[str] = field(default_factory=set)

    def operator(self, name: str, answer: AdminDecision | BaseException | None = None, **more: object) -> Operator:
        """Makes an operator known by the bearer token `ops-NAME`; policy answers so to all that it asks."""
        usual = {"kind": OperatorKind.PERSON, "peer": "127.0.0.1", "token_issue_time": NOON}
        made = Operator(ISSUER, "corp", name, **{**usual, **more})  # type: ignore[arg-type] # a test's own words
        self.operators[f"ops-{name}"] = made
        if answer is not None:
            self.policy.answers[name] = answer
        return made

    async def authenticate(self, caller: Caller, /) -> Operator:
        token = caller.unverified_bearer.reveal() if caller.unverified_bearer else ""
        if token in self.inner.identity.actors:
            raise Denied(Reason.NOT_AUTHORIZED, "this identity or client is an agent's")
        try:
            return self.operators[token]
        except KeyError:
            raise Denied(Reason.ACTOR_REJECTED, "who is calling is not known") from None

    @property
    def authorize(self) -> Authorize:
        return Authorize(self.policy, frozenset(self.administrators), self.inner.ledger, self.inner.clock)

    def admission(self, service: str, *, per_minute: int = 1000, places: int = 64) -> OperatorAdmission:
        return OperatorAdmission(
            service,
            self.authenticate,
            RevokedOperators(self.inner.ledger.store),
            self.inner.rejections,
            self.inner.ledger,
            Budget(self.inner.clock, per_minute, "operator"),
            Places(places, who="operator"),
            Places(4, "streams", "operator"),
            frozenset({"WatchGrants", "WatchEvents", "DownloadRevision", "ReplayRevision"}),
        )


@asynccontextmanager
async def operator_world(folder: Path) -> AsyncIterator[OperatorWorld]:
    async with world(folder) as inner:
        yield OperatorWorld(inner)
