"""A bundle server followed by a gateway's own parts, on a real ledger: policy only goes forward, none is lost."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.bundle_keys import BundleKey, bundle_key
from tests.bundle_web import BundleWeb, bundle_web
from tests.databases import Place, asked
from tests.fakes import FakeClock
from tests.policy_bundles import DENY_ALL, written

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.policies.seen import DatabaseSeen
from remit_server.adapters.policy.activation.adopting import Adopting, FittingBundles
from remit_server.adapters.policy.bundles.archive import archive_of_files, files_of_archive
from remit_server.adapters.policy.bundles.bundle import revision_of
from remit_server.adapters.policy.sources.building import Signer, built
from remit_server.adapters.policy.sources.choosing import first_news, limits_of, source_of
from remit_server.adapters.policy.sources.signing import SigningKey
from remit_server.adapters.rego.embedded import EngineLimits
from remit_server.adapters.rego.shelf import EngineShelf
from remit_server.application.policy.following.follow_source import FollowSource
from remit_server.application.policy.following.freshness import Freshness
from remit_server.application.policy.ports import ActivationOrder
from remit_server.config.policy_settings import BundleSigningSettings
from remit_server.config.settings import PolicySettings
from remit_server.domain.policy_revision import Activation, RevisionSource

RULES = "remit/issue/issue.rego"
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


def files_of(text: str) -> dict[str, bytes]:
    return {".manifest": b'{"roots": ["remit"]}', RULES: f"{DENY_ALL}\n# {text}\n".encode()}


def revision(text: str) -> str:
    return revision_of(files_of(text))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> BundleKey:
    return bundle_key(tmp_path_factory.mktemp("key"))


@pytest.fixture
async def web() -> AsyncIterator[BundleWeb]:
    async with bundle_web() as running:
        yield running


@dataclass
class Scene:
    """A gateway's parts around its ledger, and the server that it follows."""

    place: Place
    web: BundleWeb
    key: BundleKey
    ledger: DatabaseLedger
    clock: FakeClock

    def publish(self, text: str, *, age: timedelta = timedelta(), signs: BundleKey | None = None) -> None:
        """Puts a bundle onto the server."""
        signer = Signer(SigningKey.of((signs or self.key).path), "ci")
        self.put(archive_of_files(built(files_of(text), NOW - age, signer).files))

    def put(self, archive: bytes) -> None:
        self.web.archive = archive
        self.web.etag = f'"{abs(hash(archive))}"'

    @property
    def revisions(self) -> DatabaseRevisions:
        return DatabaseRevisions(self.ledger.store)

    async def start(self, stack: AsyncExitStack, policy: PolicySettings | None = None) -> Freshness:
        """Takes what the source has now, then follows it until the stack is left, as a gateway does."""
        signing = BundleSigningSettings((self.key.settings,), required=True)
        server = replace(self.web.settings(), poll=timedelta(seconds=0.02), max_age=HOUR)
        policy = policy or PolicySettings(None, server=server, signing=signing)
        bundles = FittingBundles(self.revisions, frozenset())
        shelf = EngineShelf(bundles, EngineLimits(workers=1), keep=1)
        stack.push_async_callback(shelf.close)
        source, before = source_of(policy), await self.revisions.active()
        limit = policy.server.max_age if policy.server is not None else None
        since = before.time if before is not None else None
        freshness = Freshness(self.clock, limit, source=source.name, since=since)
        adopting = Adopting(self.revisions, bundles, shelf, source, lambda: None)
        see, limits = DatabaseSeen(self.ledger.store), limits_of(policy)
        follow = FollowSource(source, see, adopting, self.ledger.record, freshness, limits, self.clock)
        follow.active = before.revision if before is not None else ""
        await follow.take(await first_news(source))
        following = asyncio.create_task(follow())
        stack.push_async_callback(_stopped, following)
        return freshness

    async def active(self) -> Activation:
        activation = await self.revisions.active()
        assert activation is not None
        return activation

    async def until_active(self, wanted: str) -> None:
        async with asyncio.timeout(30):
            while (await self.active()).revision != wanted:  # noqa: ASYNC110 - another task activates
                await asyncio.sleep(0.02)

    async def until_asked(self, more: int) -> None:
        """Returns once the server was asked so many times more."""
        asked = len(self.web.asked)
        async with asyncio.timeout(30):
            while len(self.web.asked) < asked + more:  # noqa: ASYNC110 - another task asks
                await asyncio.sleep(0.02)

    def refusals(self) -> list[tuple[str, str]]:
        """Returns revision and code of each refusal on record."""
        rows = asked(self.place, "SELECT body FROM audit_events WHERE kind = 'revision_refused' ORDER BY sequence")
        return [(body["revision"], body["code"]) for (text,) in rows for body in [json.loads(text)]]


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def scene(place: Place, web: BundleWeb, key: BundleKey) -> AsyncIterator[Scene]:
    clock = FakeClock(NOW)
    async with open_ledger(place, clock) as ledger:
        yield Scene(place, web, key, ledger, clock)


async def test_a_start_adopts_what_the_server_has_and_then_each_newer_one(scene: Scene) -> None:
    scene.publish("1", age=3 * HOUR)
    async with AsyncExitStack() as stack:
        freshness = await scene.start(stack)
        first = await scene.active()
        scene.publish("2", age=2 * HOUR)
        await scene.until_active(revision("2"))

        published = await scene.revisions.listed(before=None, limit=5)
        archive = await scene.revisions.archive(revision("2"))

    assert (first.revision, first.kind.value) == (revision("1"), "ADOPTED")
    assert [(one.revision, one.facts.signed_by, one.source) for one in published] == [
        (revision("2"), "ci", RevisionSource.SERVER),
        (revision("1"), "ci", RevisionSource.SERVER),
    ]
    assert published[0].facts.built_time == NOW - 2 * HOUR
    assert archive is not None
    assert revision_of(files_of_archive(archive)) == revision("2")
    assert not freshness.is_over
    assert scene.refusals() == []


async def test_o3_an_older_signed_bundle_after_a_newer_one_stays_out_on_record(scene: Scene) -> None:
    scene.publish("new", age=HOUR)
    async with AsyncExitStack() as stack:
        await scene.start(stack)
        scene.publish("old", age=2 * HOUR)
        await scene.until_asked(4)

        active = await scene.active()

    assert active.revision == revision("new")
    assert scene.refusals() == [(revision("old"), "OLDER")]


async def test_o3_what_once_decided_comes_back_by_a_person_only(scene: Scene) -> None:
    scene.publish("1", age=3 * HOUR)
    async with AsyncExitStack() as stack:
        await scene.start(stack)
        scene.publish("2", age=2 * HOUR)
        await scene.until_active(revision("2"))
        scene.publish("1", age=timedelta())  # the same files, signed anew
        await scene.until_asked(4)
        replayed = (await scene.active()).revision

        await scene.revisions.activate(ActivationOrder(revision("1"), by="corp:ada", why="2 is wrong"))
        scene.publish("2", age=timedelta())
        await scene.until_asked(4)
        rolled_back = (await scene.active()).revision
        scene.publish("3", age=timedelta())
        await scene.until_active(revision("3"))

    assert (replayed, rolled_back) == (revision("2"), revision("1"))
    assert scene.refusals() == [(revision("1"), "REPLAYED"), (revision("2"), "REPLAYED")]


@pytest.mark.parametrize("forgery", ["stripped", "by another key", "altered", "slipped in", "cut off", "a page"])
async def test_o3_a_forged_bundle_is_refused_on_record_and_what_is_active_stays(
    scene: Scene, tmp_path: Path, forgery: str
) -> None:
    scene.publish("1", age=HOUR)
    async with AsyncExitStack() as stack:
        await scene.start(stack)
        files = dict(built(files_of("2"), NOW, Signer(SigningKey.of(scene.key.path), "ci")).files)
        if forgery == "stripped":
            del files[".signatures.json"]
        if forgery == "altered":
            files[RULES] += b"# changed\n"
        if forgery == "slipped in":
            files["remit/lib/extra.rego"] = b"package remit.lib.extra\n"
        archive = archive_of_files(files)
        scene.put({"cut off": archive[:-30], "a page": b"<html>sign in</html>"}.get(forgery, archive))
        if forgery == "by another key":
            scene.publish("2", signs=bundle_key(tmp_path, "other"))
        await scene.until_asked(4)

        active = await scene.active()

    assert active.revision == revision("1")
    ((_, code),) = scene.refusals()
    assert code == {"stripped": "UNSIGNED", "cut off": "MALFORMED", "a page": "MALFORMED"}.get(
        forgery, "SIGNATURE_WRONG"
    )


async def test_a_bundle_that_may_not_decide_is_refused_on_record_and_what_is_active_stays(scene: Scene) -> None:
    scene.publish("1", age=HOUR)
    async with AsyncExitStack() as stack:
        await scene.start(stack)
        bad = {**files_of("2"), RULES: b"package remit.issue\n\ndecision := http.send({})\n"}
        scene.put(archive_of_files(built(bad, NOW, Signer(SigningKey.of(scene.key.path), "ci")).files))
        async with asyncio.timeout(30):
            while not scene.refusals():  # noqa: ASYNC110 - another task records
                await asyncio.sleep(0.05)
        await scene.until_asked(3)

        active = await scene.active()

    assert active.revision == revision("1")
    assert scene.refusals() == [(revision_of(bad), "REVISION_REFUSED")]


async def test_a_server_that_is_away_takes_nothing_away_until_the_policy_is_too_old(scene: Scene) -> None:
    scene.publish("1", age=HOUR)
    async with AsyncExitStack() as stack:
        freshness = await scene.start(stack)
        scene.web.behaviour = "500"
        await scene.until_asked(3)
        young = freshness.is_over
        scene.clock.advance(minutes=61)
        old = freshness.is_over
        await scene.until_asked(2)
        scene.web.behaviour = "well"
        await scene.until_asked(3)
        back = freshness.is_over
        active = await scene.active()

    kinds = [kind for (kind,) in asked(scene.place, "SELECT kind FROM audit_events ORDER BY sequence")]
    assert (young, old, back) == (False, True, False)
    assert active.revision == revision("1")
    assert [kind for kind in kinds if kind.startswith("policy_")] == ["policy_unconfirmed", "policy_confirmed"]


@pytest.mark.parametrize(("minutes", "is_over"), [(30, False), (90, True)])
async def test_a_start_without_its_server_goes_on_by_what_is_active_for_as_long_as_it_may(
    scene: Scene, minutes: int, *, is_over: bool
) -> None:
    scene.publish("1", age=HOUR)
    async with AsyncExitStack() as stack:
        await scene.start(stack)
    scene.web.behaviour = "500"
    scene.clock.advance(minutes=minutes)
    async with AsyncExitStack() as stack:
        freshness = await scene.start(stack)

        assert freshness.is_over is is_over


async def test_two_starts_at_once_adopt_the_same(scene: Scene) -> None:
    scene.publish("1", age=HOUR)
    async with AsyncExitStack() as one, AsyncExitStack() as other:
        await asyncio.gather(scene.start(one), scene.start(other))

    assert len(await scene.revisions.activations(None, limit=5)) == 1
    assert scene.refusals() == []


async def test_a_folder_is_a_source_like_any_other(scene: Scene, tmp_path: Path) -> None:
    folder = written(tmp_path / "bundle", {path: content.decode() for path, content in files_of("1").items()})
    async with AsyncExitStack() as stack:
        freshness = await scene.start(stack, PolicySettings(folder))
    scene.clock.advance(days=400)

    assert (await scene.active()).by == str(folder)
    assert not freshness.is_over
