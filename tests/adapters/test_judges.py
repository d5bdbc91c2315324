"""Judges: a published revision decides beside the active one, on an engine of its own, a few at a time."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.fakes import FakeClock
from tests.policy_bundles import DENY_ALL, OBEDIENT, bundle_of
from tests.policy_bundles import asked as a_question

from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import revision_of
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.rego.embedded import EmbeddedRego
from remit_server.adapters.rego.judges import RegoJudges
from remit_server.application.policy.ports import NewRevision
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.policy_revision import BundleFacts, RevisionSource

ALLOWED = a_question({"task": {"labels": {"do": "allow"}}})
FOR_EVERYBODY = OBEDIENT.replace('input.task.labels["do"] == "allow"', "true").replace(
    'not input.task.labels["do"]', "false"
)


@pytest.fixture
async def revisions(tmp_path: Path) -> AsyncIterator[DatabaseRevisions]:
    async with open_ledger(tmp_path / "ledger.db", FakeClock()) as ledger:
        yield DatabaseRevisions(ledger.store)


async def published(revisions: DatabaseRevisions, folder: Path, issue_rego: str) -> str:
    """Publishes a bundle with this decision, as it is, and returns its revision."""
    bundle_of(folder, issue_rego)
    files = read_files(folder)
    facts = BundleFacts(revision_of(files), 1, None, "", 1, 0, 0)
    await revisions.publish(NewRevision(facts, archive_of_files(files)), by="ada", source=RevisionSource.OPERATOR)
    return facts.revision


async def test_a_judge_decides_by_the_revision_that_was_asked_for(revisions: DatabaseRevisions, tmp_path: Path) -> None:
    revision = await published(revisions, tmp_path / "bundle", OBEDIENT)

    async with RegoJudges(revisions)(revision) as judge:
        decision = await judge.decide(ALLOWED)

    assert (judge.revision.digest, type(decision)) == (revision, Allow)


async def test_no_engine_stays_when_the_judge_is_not_needed_any_more(
    revisions: DatabaseRevisions, tmp_path: Path
) -> None:
    revision = await published(revisions, tmp_path / "bundle", OBEDIENT)

    async with RegoJudges(revisions)(revision, workers=2) as judge:
        pass

    with pytest.raises(Outage):
        await judge.decide(ALLOWED)


async def test_a_warm_engine_of_the_revision_is_shared(revisions: DatabaseRevisions, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", OBEDIENT)
    warm = await EmbeddedRego.start(bundle)
    judges = RegoJudges(revisions, warm=lambda revision: warm if revision == bundle.revision else None)

    async with judges(bundle.revision) as judge:  # which was never published
        decision = await judge.decide(ALLOWED)
    afterwards = await warm.decide(warm.active, ALLOWED)
    await warm.close()

    assert (type(decision), type(afterwards)) == (Allow, Allow)


async def test_only_a_few_judges_are_open_at_a_time(revisions: DatabaseRevisions, tmp_path: Path) -> None:
    revision = await published(revisions, tmp_path / "bundle", DENY_ALL)
    judges = RegoJudges(revisions, most_open=1)

    async with AsyncExitStack() as open_one:
        await open_one.enter_async_context(judges(revision))
        with pytest.raises(Outage) as raised:
            await open_one.enter_async_context(judges(revision))
    async with judges(revision):
        pass

    assert raised.value.reason is Reason.OVERLOADED


async def test_what_was_not_published_judges_nothing(revisions: DatabaseRevisions) -> None:
    with pytest.raises(Denied) as raised:
        async with RegoJudges(revisions)("f" * 64):
            pass

    assert raised.value.reason is Reason.NOT_FOUND


async def test_a_revision_that_allows_strangers_judges_nothing(revisions: DatabaseRevisions, tmp_path: Path) -> None:
    revision = await published(revisions, tmp_path / "bundle", FOR_EVERYBODY)

    with pytest.raises(Denied) as raised:
        async with RegoJudges(revisions)(revision):
            pass

    assert raised.value.reason is Reason.REVISION_REFUSED
    assert "stranger" in raised.value.message


async def test_a_bundle_that_is_not_what_its_digest_says_judges_nothing(
    revisions: DatabaseRevisions, tmp_path: Path
) -> None:
    bundle_of(tmp_path / "bundle", DENY_ALL)
    facts = BundleFacts("a" * 64, 1, None, "", 1, 0, 0)
    archive = archive_of_files(read_files(tmp_path / "bundle"))
    await revisions.publish(NewRevision(facts, archive), by="ada", source=RevisionSource.OPERATOR)

    with pytest.raises(Denied) as raised:
        async with RegoJudges(revisions)("a" * 64):
            pass

    assert "another bundle" in raised.value.message
