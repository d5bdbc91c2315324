"""Histories for replays: a gateway whose policy is a real bundle on the real engine, and what agents asked of it."""

import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from tests.approval_world import person
from tests.databases import Place
from tests.fakes import NOON, ROLES, World, given, permission, world
from tests.policy_bundles import DEFAULT_POLICIES

from remit_server.adapters.database.engine import open_for_reading
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import OwnReader
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.approvals.ask_approval import Pending
from remit_server.application.approvals.decide_approval import DecideApproval
from remit_server.application.approvals.decide_approval import Decision as Vote
from remit_server.application.approvals.show_approvals import ShowApprovals
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.planning.ceilings import Ceilings, kept_ceilings
from remit_server.application.planning.deliberation import Deliberation
from remit_server.application.policy.ports import NewRevision
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.running import Run
from remit_server.domain.audit import GatewayStarted
from remit_server.domain.decision import KeptText
from remit_server.domain.errors import RemitError
from remit_server.domain.identity import Actor, ActorKind, Delegation, Principal
from remit_server.domain.permission import Permission
from remit_server.domain.policy_revision import BundleFacts, RevisionSource
from remit_server.domain.secret import Secret
from remit_server.domain.task import Capability

COPILOT = "spiffe://remit.sandbox/agent/copilot"
NIGHTLY = "spiffe://remit.sandbox/agent/nightly"
ISSUER = "https://idp.example"
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
REPORT = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.csv")
DRAFT = permission(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::reports/drafts/q4.md")
PUBLISH = permission("s3:PutObject", "arn:aws:s3:::reports/2026/q3/summary.csv")
ORDER = permission("dynamodb:GetItem", "arn:aws:dynamodb:eu-central-1:111122223333:table/orders")
Edit = Callable[[dict[str, Any]], object]


@dataclass
class Recorded:
    """A gateway that decides by a bundle; whoever asks is put on record."""

    world: World
    place: Place
    kept: KeptText
    engine: EmbeddedRego

    async def asks(self, *permissions: Permission, user: str = "ann", agent: str = "copilot", **more: Any) -> Any:
        """Returns what an agent gets, or the refusal; an hour later it is a minute after that."""
        self.world.clock.advance(seconds=61.5)
        try:
            return await self.world.issue(self.world.request(*permissions, user=user, agent=agent, **more))
        except RemitError as refused:
            return refused

    async def issued(self, *permissions: Permission, **more: Any) -> Issued:
        """Returns what an agent gets; fails when it is refused."""
        outcome = await self.asks(*permissions, **more)
        assert not isinstance(outcome, RemitError), outcome
        return given(outcome)

    async def renews(self, issued: Issued, *, user: str = "ann", agent: str = "copilot", **more: Any) -> Any:
        """Returns what a renewal gives, or the refusal."""
        self.world.clock.advance(seconds=30)
        try:
            return await self.world.renew(self.world.renewal(issued.grant, user=user, agent=agent, **more))
        except RemitError as refused:
            return refused

    async def publishes(self, *, user: str = "ann", collects: bool = True) -> Any:
        """Asks for what people approve, has a person say yes, and collects it."""
        self.world.clock.advance(seconds=7)
        request = self.world.request(PUBLISH, user=user)
        pending = await self.world.issue(request)
        assert isinstance(pending, Pending), pending
        if not collects:
            return pending

        async def sees_all(*_: object) -> bool:
            return True

        show = ShowApprovals(self.world.approvals, sees_all, self.world.clock)
        vote = Vote(pending.approval.approval_id, pending.approval.digest, approve=True, comment="as agreed")
        await DecideApproval(self.world.approvals, show, self.world.clock)(person("sam", "security"), vote)
        self.world.clock.advance(seconds=7)
        return await self.world.issue(request)


async def some_history(gateway: Recorded) -> None:
    """Puts every kind of decision on record: 13 of them, and a preview, which is none."""
    issued = await gateway.issued(REPORT)
    await gateway.renews(issued)
    await gateway.asks(REPORT, user="zoe")
    await gateway.issued(DRAFT, user="eve")
    await gateway.issued(ORDER, user="eve", agent="nightly")
    await gateway.asks(DRAFT)
    await gateway.issued(REPORT, DRAFT, narrow=True)
    await gateway.issued(REPORT, user="bob")
    await gateway.publishes()
    await gateway.publishes(user="bob", collects=False)
    await gateway.asks(capabilities=(Capability("s3.read_prefix", {"bucket": "reports", "prefix": "2026/"}),))
    await gateway.asks(PUBLISH, user="eve")
    await gateway.world.preview(gateway.world.ask(REPORT, user="ann"))


def known(made: World, name: str, group: str, agent: str, spiffe_id: str, **more: Any) -> None:
    """Makes a user of a group known, and an agent that has their token."""
    actor = Actor(spiffe_id, ActorKind.SPIFFE, "remit.sandbox", agent=agent)
    made.identity.actors[agent] = actor
    subject = Principal(ISSUER, "corp", name, name, groups=(group,))
    token = f"{name}@{agent}"
    delegation = Delegation(subject, actor, Secret(token).fingerprint, NOON, NOON + timedelta(days=2), **more)
    made.identity.subjects[token] = delegation


@asynccontextmanager
async def recording(
    place: Place, policies: Path = DEFAULT_POLICIES, *, decides_by: Any = None, **more: Any
) -> AsyncIterator[Recorded]:
    """Builds the gateway on a database, deciding by the bundle of a folder, or by an engine that has loaded it."""
    bundle = read_bundle(policies, stamped=False)
    engine = decides_by or await EmbeddedRego.start(bundle, EngineLimits(decision_seconds=5.0))
    kept = kept_ceilings(ROLES, ())
    deliberate = Deliberation(Ceilings.of(ROLES, (), kept.digest))
    try:
        async with world(Path(), place=place, **more) as made:
            hearing = replace(made.issue.hearing, policy=engine, deliberate=deliberate)
            made.issue = replace(made.issue, hearing=hearing)
            made.renew = replace(made.renew, hearing=hearing)
            made.preview = replace(made.preview, hearing=hearing)
            started = GatewayStarted("0", "d" * 64, kept.digest, bundle.revision)
            await made.ledger.record(started, kept=[kept])
            for name, group in (("ann", "analysts"), ("eve", "engineers"), ("zoe", "guests")):
                known(made, name, group, "copilot", COPILOT)
                known(made, name, group, "nightly", NIGHTLY)
            known(made, "bob", "analysts", "copilot", COPILOT, bind_expiry=True)
            yield Recorded(made, place, kept, engine)
    finally:
        await engine.close()
        deliberate.close()


def edited(folder: Path, *, catalogue: Edit | None = None, rego: Mapping[str, str] | None = None) -> Path:
    """Returns a copy of the default policies with its catalogue changed, and pieces of its rules replaced."""
    shutil.copytree(DEFAULT_POLICIES, folder)
    entitlements = folder / "remit/catalog/entitlements/data.yaml"
    if catalogue is not None:
        tree = yaml.safe_load(entitlements.read_text(encoding="utf-8"))
        catalogue(tree)
        entitlements.write_text(yaml.safe_dump(tree), encoding="utf-8")
    rules = folder / "remit/issue/issue.rego"
    text = rules.read_text(encoding="utf-8")
    for old, new in (rego or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    rules.write_text(text, encoding="utf-8")
    return folder


def known_archive(policies: Path) -> bytes:
    """Returns the files of a folder as one archive."""
    return archive_of_files(read_files(policies))


async def published(gateway: Recorded, policies: Path) -> str:
    """Publishes the bundle of a folder, and returns its digest."""
    bundle = read_bundle(policies, stamped=False)
    facts = BundleFacts(bundle.revision, 1, None, "", len(bundle.rules), len(bundle.capabilities), 1)
    revisions = DatabaseRevisions(gateway.world.ledger.store)
    await revisions.publish(NewRevision(facts, known_archive(policies)), by="olga", source=RevisionSource.OPERATOR)
    return bundle.revision


async def replayed(
    place: Place,
    candidate: Path,
    *,
    jobs: int = 1,
    since: datetime = EPOCH,
    most: int = 100_000,
    page: int = 400,
    given_ceilings: KeptText | None = None,
) -> Report:
    """Replays the history of a database on the bundle of a folder."""
    database = open_for_reading(place)
    try:
        history = DatabaseHistory(OwnReader(database), page)
        async with OpenTeam(jobs)(known_archive(candidate), given=given_ceilings) as team:
            run = Run(history, team, given_ceilings=given_ceilings is not None)
            outcomes = [outcome async for outcome in run(since, most=most)]
    finally:
        await database.close()
    report = outcomes[-1]
    assert isinstance(report, Report)
    return report


def told(report: Report) -> Sequence[tuple[str, int]]:
    """Returns the differences of a report with how often each is."""
    return [(group.difference.value, group.count) for group in report.groups]
