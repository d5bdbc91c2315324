"""Every process decides by the last activation: it turns to it, waits for it, and decides by no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes import FakeClock
from tests.ledger_values import asked, kinds
from tests.waiting import until

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.policy.activation.active import ActivePolicy
from remit_server.application.policy.ports import ActivationOrder, NewRevision
from remit_server.application.ports import Revision
from remit_server.domain.administration import AdminDecision
from remit_server.domain.decision import Allow, Decision, DecisionInput
from remit_server.domain.errors import Denied, Outage, PolicyChanged, Reason
from remit_server.domain.policy_revision import BundleFacts, RevisionSource

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
QUESTION = DecisionInput("{}")


@dataclass(frozen=True)
class ScriptedEngine:
    """Says yes to everything by its one revision: what it decides does not matter here."""

    active: Revision

    async def decide(self, revision: Revision, _: DecisionInput, /) -> Decision:
        assert revision == self.active
        return Allow(())

    async def administer(self, revision: Revision, question: DecisionInput, /) -> AdminDecision:
        raise NotImplementedError


@dataclass
class ScriptedEngines:
    """Makes engines as a test says: at once, at a gate, or not at all; the real ones take whatever time they take."""

    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    turns: list[str] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)

    async def prepare(self, revision: str, /) -> None:
        self.prepared.append(revision)
        if failure := self.failures.get(revision):
            raise failure

    def warm(self, revision: str, /) -> None:
        raise NotImplementedError

    async def turn(self, revision: str, /) -> ScriptedEngine:
        self.turns.append(revision)
        if gate := self.gates.get(revision):
            await gate.wait()
        if failure := self.failures.get(revision):
            raise failure
        return ScriptedEngine(Revision(revision, {}))

    async def close(self) -> None: ...


@dataclass
class Replica:
    """One process on a ledger that others activate revisions in."""

    ledger: DatabaseLedger
    revisions: DatabaseRevisions
    engines: ScriptedEngines
    policy: ActivePolicy
    database: Path

    async def activate(self, revision: str) -> int:
        order = ActivationOrder(revision, by="ada", why="as reviewed")
        return (await self.revisions.activate(order)).activation.number

    async def decides_by(self) -> str:
        revision = self.policy.active
        await self.policy.decide(revision, QUESTION)
        return revision.digest


@asynccontextmanager
async def replica(folder: Path, *, within: float = 5.0, look_every: float = 60.0) -> AsyncIterator[Replica]:
    """Gives a process that decides by A and keeps up; B and C are published."""
    database = folder / "ledger.db"
    async with open_ledger(database, FakeClock()) as ledger:
        revisions, engines = DatabaseRevisions(ledger.store), ScriptedEngines()
        for revision in (A, B, C):
            facts = BundleFacts(revision, 1, None, "", 1, 0, 0)
            await revisions.publish(NewRevision(facts, b"archive"), by="ada", source=RevisionSource.OPERATOR)
        policy = ActivePolicy(
            revisions,
            engines,
            ledger.record,
            followed_within=timedelta(seconds=within),
            look_every=timedelta(seconds=look_every),
        )
        made = Replica(ledger, revisions, engines, policy, database)
        await made.activate(A)
        await policy.start()
        keeping = asyncio.create_task(policy.keep_up())
        yield made
        keeping.cancel()
        await asyncio.wait((keeping,))


async def test_a_process_does_not_start_while_nothing_was_activated(tmp_path: Path) -> None:
    async with open_ledger(tmp_path / "ledger.db", FakeClock()) as ledger:
        policy = ActivePolicy(DatabaseRevisions(ledger.store), ScriptedEngines(), ledger.record)

        with pytest.raises(RuntimeError, match="no policy revision is active"):
            await policy.start()


async def test_a_process_turns_to_what_another_one_activated(tmp_path: Path) -> None:
    async with replica(tmp_path) as here:
        number = await here.activate(B)

        await here.policy.follow(number)

        assert await here.decides_by() == B


async def test_a_signal_has_the_process_turn(tmp_path: Path) -> None:
    async with replica(tmp_path) as here:
        await here.activate(B)

        here.policy.look()

        await until(lambda: here.policy.active.digest == B)
        assert await here.decides_by() == B


async def test_a_signal_that_was_missed_is_made_good_by_a_look_now_and_then(tmp_path: Path) -> None:
    async with replica(tmp_path, look_every=0.02) as here:
        await here.activate(B)

        await until(lambda: here.policy.active.digest == B)

        assert await here.decides_by() == B


async def test_nothing_is_decided_while_another_revision_is_made_ready(tmp_path: Path) -> None:
    async with replica(tmp_path, within=0.05) as here:
        here.engines.gates[B] = asyncio.Event()
        number = await here.activate(B)

        with pytest.raises(Outage) as waited:
            await here.policy.follow(number)
        with pytest.raises(PolicyChanged) as asked_meanwhile:
            await here.decides_by()
        here.engines.gates[B].set()
        await here.policy.follow(number)

        assert (waited.value.reason, asked_meanwhile.value.activation) == (Reason.POLICY_UNAVAILABLE, number)
        assert await here.decides_by() == B


async def test_what_was_asked_of_the_revision_before_is_to_be_asked_anew(tmp_path: Path) -> None:
    async with replica(tmp_path) as here:
        before = here.policy.active
        number = await here.activate(B)
        await here.policy.follow(number)

        with pytest.raises(PolicyChanged) as raised:
            await here.policy.decide(before, QUESTION)

        assert raised.value.activation == number


async def test_going_back_does_not_wait_for_what_is_being_made_ready(tmp_path: Path) -> None:
    async with replica(tmp_path) as here:
        here.engines.gates[B] = asyncio.Event()  # and it is never set
        await here.activate(B)
        here.policy.look()
        await until(lambda: here.engines.turns == [A, B])

        await here.policy.follow(await here.activate(A))

        assert await here.decides_by() == A


async def test_whoever_waits_for_an_activation_is_content_with_a_later_one(tmp_path: Path) -> None:
    async with replica(tmp_path) as here:
        number = await here.activate(B)
        await here.activate(C)

        await here.policy.follow(number)

        assert await here.decides_by() == C


async def test_a_revision_that_cannot_decide_here_is_an_outage_and_never_the_one_before(tmp_path: Path) -> None:
    async with replica(tmp_path) as here:
        here.engines.failures[B] = Denied(Reason.REVISION_REFUSED, "it names a role that is not configured")
        number = await here.activate(B)

        with pytest.raises(Outage) as waited:
            await here.policy.follow(number)
        with pytest.raises(Outage) as decided:
            await here.decides_by()

        assert {waited.value.reason, decided.value.reason} == {Reason.POLICY_UNAVAILABLE}
        assert not isinstance(decided.value, PolicyChanged)
        assert "role" not in decided.value.message


async def test_that_a_revision_cannot_decide_here_goes_on_record_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remit_server.adapters.policy.activation.active._FIRST_PAUSE", 0.01)
    async with replica(tmp_path) as here:
        here.engines.failures[B] = Denied(Reason.REVISION_REFUSED, "it names a role that is not configured")
        await here.activate(B)
        here.policy.look()
        await until(lambda: here.engines.turns.count(B) >= 3)
        del here.engines.failures[B]
        await until(lambda: here.policy.active.digest == B)

        assert await here.decides_by() == B
        assert kinds(here.database).count("revision_refused") == 1
        assert asked(
            here.database,
            "SELECT json_extract(body, '$.code'), json_extract(body, '$.message') FROM audit_events "
            "WHERE kind = 'revision_refused'",
        ) == [("UNFIT_HERE", "it names a role that is not configured")]


async def test_what_is_published_is_made_ready_before_it_is_activated(tmp_path: Path) -> None:
    async with replica(tmp_path) as here:
        here.engines.failures[C] = Denied(Reason.REVISION_REFUSED, "it names a role that is not configured")
        readying = asyncio.create_task(here.policy.make_ready())
        here.policy.published()
        await until(lambda: here.engines.prepared == [C])
        new = BundleFacts("d" * 64, 1, None, "", 1, 0, 0)
        await here.revisions.publish(NewRevision(new, b"archive"), by="ada", source=RevisionSource.OPERATOR)

        here.policy.published()

        await until(lambda: here.engines.prepared == [C, new.revision])
        readying.cancel()
        await asyncio.wait((readying,))
        assert await here.decides_by() == A
