"""What a source offers is adopted or refused on record; no outage and no refusal takes the active policy away."""

import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from tests.fakes import NOON, FakeClock

from remit_server.application.policy.following.follow_source import FollowSource
from remit_server.application.policy.following.freshness import Freshness
from remit_server.application.policy.following.offers import Offer, OfferCode, OfferLimits, Seen
from remit_server.application.policy.following.source_ports import (
    Offered,
    SourceNews,
    StillOffered,
    Unacceptable,
    Unreachable,
)
from remit_server.domain.audit import AuditRecord
from remit_server.domain.errors import Denied, Outage, Reason, RemitError
from remit_server.domain.policy_records import PolicyConfirmed, PolicyUnconfirmed, RevisionRefused
from remit_server.domain.policy_revision import RevisionSource

R1, R2, R3 = "1" * 64, "2" * 64, "3" * 64
HOUR = timedelta(hours=1)
AWAY = Unreachable("`bundles.example` refuses the connection")


def offered(revision: str, hours: float = 0) -> Offered:
    return Offered(Offer("https://bundles.example/b", revision, NOON + hours * HOUR, "ci", 10), {"a": b"b"})


@dataclass
class Scene:
    """A source, and a ledger of policies, that do what a test says: real ones fail at no exact moment."""

    name: str = "https://bundles.example/b"
    kind: RevisionSource = RevisionSource.SERVER
    script: Sequence[SourceNews | Exception] = ()
    told: int = 0
    seen: Seen = field(default_factory=Seen)
    fails: RemitError | None = None
    see_fails: RemitError | None = None
    adopted: list[str] = field(default_factory=list)
    records: list[AuditRecord] = field(default_factory=list)
    forgotten: int = 0
    clock: FakeClock = field(default_factory=FakeClock)

    async def news(self) -> AsyncGenerator[SourceNews, None]:
        for one in self.script[self.told :]:
            self.told += 1
            if isinstance(one, Exception):
                raise one
            yield one

    def forget(self) -> None:
        self.forgotten += 1

    async def see(self, _: str, /) -> Seen:
        if self.see_fails is not None:
            raise self.see_fails
        return self.seen

    async def adopt(self, news: Offered, /, *, expected_active: str) -> None:
        assert expected_active == self.seen.active
        if self.fails is not None:
            raise self.fails
        offer = news.offer
        self.adopted.append(offer.revision)
        self.seen = Seen(
            offer.revision, newest_built_time=offer.built_time, ever_active=self.seen.ever_active | {offer.revision}
        )

    async def record(self, record: AuditRecord, /) -> None:
        self.records.append(record)

    @property
    def codes(self) -> list[str]:
        return [one.code for one in self.records if isinstance(one, RevisionRefused)]

    def following(self, *, limit: timedelta | None = HOUR) -> FollowSource:
        freshness = Freshness(self.clock, limit, source=self.name)
        return FollowSource(
            self,
            self.see,
            self.adopt,
            self.record,
            freshness,
            OfferLimits(signature_required=True),
            self.clock,
            pause_seconds=0,
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_each_newer_offer_is_adopted(scene: Scene) -> None:
    scene.script = [offered(R1, -3), offered(R2, -2), StillOffered(offered(R2, -2).offer), offered(R3, -1)]

    await scene.following()()

    assert (scene.adopted, scene.records) == ([R1, R2, R3], [])


async def test_an_older_bundle_after_a_newer_one_stays_out_and_is_recorded_once(scene: Scene) -> None:
    scene.script = [offered(R2, -1), *[offered(R1, -2)] * 3, *[StillOffered(offered(R1, -2).offer)] * 3]

    await scene.following()()

    assert scene.adopted == [R2]
    (record,) = scene.records
    assert isinstance(record, RevisionRefused)
    assert (record.revision, record.by, record.source, record.code) == (R1, scene.name, "SERVER", "OLDER")


async def test_what_is_no_bundle_is_recorded_once_and_takes_nothing_away(scene: Scene) -> None:
    bad = Unacceptable(OfferCode.SIGNATURE_WRONG, "x" * 5000, R3)
    scene.script = [offered(R1, -1), bad, bad, replace(bad, revision=R2), bad]

    await scene.following()()

    assert scene.adopted == [R1]
    assert [one.revision for one in scene.records if isinstance(one, RevisionRefused)] == [R3, R2]
    assert all(len(one.message) < 1100 for one in scene.records if isinstance(one, RevisionRefused))


async def test_a_bundle_that_may_not_decide_is_tried_and_recorded_once(scene: Scene) -> None:
    scene.seen = Seen(R1, newest_built_time=NOON - HOUR, ever_active=frozenset({R1}))
    scene.fails = Denied(Reason.REVISION_REFUSED, "remit/issue/issue.rego:3: unknown function")
    follow = scene.following()
    for news in (offered(R2), offered(R2), StillOffered(offered(R2).offer)):
        await follow.take(news)
    scene.fails = None
    await follow.take(offered(R3))

    assert scene.adopted == [R3]
    assert scene.codes == ["REVISION_REFUSED"]
    assert scene.forgotten == 0


@pytest.mark.parametrize(
    "failure", [Outage(Reason.LEDGER_UNAVAILABLE, "away"), Denied(Reason.REVISION_CHANGED, "another is active")]
)
async def test_what_could_not_be_adopted_for_the_moment_is_asked_for_again(scene: Scene, failure: RemitError) -> None:
    scene.fails = failure
    follow = scene.following()
    await follow.take(offered(R1))
    forgotten = scene.forgotten
    scene.fails = None
    await follow.take(StillOffered(offered(R1).offer))  # a source that was not told in time
    await follow.take(offered(R1))

    assert (forgotten, scene.forgotten) == (1, 2)
    assert (scene.adopted, scene.records) == ([R1], [])


async def test_a_ledger_that_cannot_be_read_ends_nothing(scene: Scene) -> None:
    scene.see_fails = Outage(Reason.LEDGER_UNAVAILABLE, "away")
    follow = scene.following()
    await follow.take(offered(R1))
    scene.see_fails = None
    await follow.take(offered(R1))

    assert (scene.adopted, scene.forgotten) == ([R1], 1)


async def test_an_outage_of_the_source_is_logged_once_until_it_is_back(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.script = [AWAY, AWAY, offered(R1, -1), AWAY, AWAY]

    with caplog.at_level(logging.WARNING):
        await scene.following()()

    assert [one.message for one in caplog.records] == ["the policy's source does not answer"] * 2
    assert scene.adopted == [R1]


async def test_an_active_policy_that_is_not_confirmed_for_too_long_is_over_on_record_until_it_is(scene: Scene) -> None:
    follow = scene.following()
    await follow.take(offered(R1, -1))
    for news in (AWAY, Unacceptable(OfferCode.MALFORMED, "no gzip"), offered(R2, -2)):
        scene.clock.advance(minutes=25)
        await follow.take(news)
    is_over = follow.freshness.is_over
    await follow.take(StillOffered(offered(R1, -1).offer))

    assert is_over
    assert not follow.freshness.is_over
    turns = [one for one in scene.records if not isinstance(one, RevisionRefused)]
    assert turns == [PolicyUnconfirmed(scene.name, R1, NOON, 3600), PolicyConfirmed(scene.name, R1)]


async def test_a_rollback_by_a_person_is_kept_and_stays_fresh_while_the_source_answers(scene: Scene) -> None:
    follow = scene.following()
    await follow.take(offered(R1, -2))
    await follow.take(offered(R2, -1))
    scene.seen = Seen(R1, by_person=True, newest_built_time=NOON - HOUR, ever_active=frozenset({R1, R2}))
    for _ in range(3):
        scene.clock.advance(minutes=40)
        await follow.take(StillOffered(offered(R2, -1).offer))

    assert scene.adopted == [R1, R2]
    assert not follow.freshness.is_over
    assert scene.codes == ["REPLAYED"]


async def test_a_start_without_its_source_is_over_once_what_was_known_is_too_old(scene: Scene) -> None:
    follow = scene.following()
    follow.active = R1
    await follow.take(AWAY)

    assert scene.records == [PolicyUnconfirmed(scene.name, R1, None, 3600)]


async def test_what_nobody_foresaw_does_not_end_following(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.script = [offered(R1, -2), ValueError("a bug"), offered(R2, -1)]

    await scene.following()()

    assert scene.adopted == [R1, R2]
    assert "following the policy's source failed; it goes on" in caplog.messages
