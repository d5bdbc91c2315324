"""What was before is told from the ledger: a source's offer is judged by it, on every database alike."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.databases import Place
from tests.fakes import NOON, FakeClock

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.policies.seen import DatabaseSeen
from remit_server.application.policy.following.offers import Adopt, Offer, OfferCode, OfferLimits, Refused, Seen, judge
from remit_server.application.policy.ports import ActivationOrder, NewRevision
from remit_server.domain.policy_revision import BundleFacts, RevisionSource

A, B, C = "a" * 64, "b" * 64, "c" * 64
HOUR = timedelta(hours=1)


@pytest.fixture
async def ledger(place: Place) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(place, FakeClock()) as opened:
        yield opened


@pytest.fixture
def revisions(ledger: DatabaseLedger) -> DatabaseRevisions:
    return DatabaseRevisions(ledger.store)


@pytest.fixture
def see(ledger: DatabaseLedger) -> DatabaseSeen:
    return DatabaseSeen(ledger.store)


async def publish(revisions: DatabaseRevisions, revision: str, built_time: datetime | None) -> None:
    facts = BundleFacts(revision, 10, built_time, "ci", 1, 0, 0)
    await revisions.publish(NewRevision(facts, b"an archive"), by="source", source=RevisionSource.SERVER)


async def adopt(revisions: DatabaseRevisions, revision: str, before: str = "") -> None:
    order = ActivationOrder(revision, by="source", why="it was offered", expected_active=before, adopted=True)
    await revisions.activate(order)


async def test_before_anything_nothing_was_seen(see: DatabaseSeen) -> None:
    assert await see(A) == Seen()


async def test_the_newest_time_is_that_of_what_ever_decided(revisions: DatabaseRevisions, see: DatabaseSeen) -> None:
    await publish(revisions, A, NOON)
    await publish(revisions, B, NOON - HOUR)
    await publish(revisions, C, NOON + HOUR)  # published, and never active
    await adopt(revisions, A)
    await revisions.activate(ActivationOrder(B, by="corp:ada", why="the newer one is wrong"))

    seen = await see(A)

    assert seen == Seen(B, by_person=True, newest_built_time=NOON, ever_active=frozenset({A}))
    assert (await see(C)).ever_active == frozenset()


async def test_a_date_to_come_keeps_no_later_offer_out(revisions: DatabaseRevisions, see: DatabaseSeen) -> None:
    await publish(revisions, A, NOON + 9000 * 365 * 24 * HOUR / 10)
    await revisions.activate(ActivationOrder(A, by="corp:ada", why="its manifest says the year 2900"))
    later, earlier = (Offer("source", one, NOON + way * HOUR, "ci", 10) for one, way in ((B, 1), (C, -1)))

    verdicts = [judge(one, await see(one.revision), OfferLimits(), NOON + 2 * HOUR) for one in (later, earlier)]

    assert verdicts[0] == Adopt()
    assert isinstance(verdicts[1], Refused)
    assert verdicts[1].code is OfferCode.OLDER


async def test_what_nobody_dated_has_no_newest_time(revisions: DatabaseRevisions, see: DatabaseSeen) -> None:
    await publish(revisions, A, None)
    await adopt(revisions, A)

    assert await see(B) == Seen(A)


async def test_an_older_offer_is_refused_after_a_rollback_too(revisions: DatabaseRevisions, see: DatabaseSeen) -> None:
    await publish(revisions, A, NOON - HOUR)
    await publish(revisions, B, NOON)
    await adopt(revisions, A)
    await adopt(revisions, B, before=A)
    await revisions.activate(ActivationOrder(A, by="corp:ada", why="the newer one is wrong"))
    between = Offer("source", C, NOON - HOUR / 2, "ci", 10)

    verdicts = [
        judge(one, await see(one.revision), OfferLimits(), NOON) for one in (between, replace(between, revision=B))
    ]
    newer = replace(between, built_time=NOON)

    assert [one.code for one in verdicts if isinstance(one, Refused)] == [OfferCode.OLDER, OfferCode.REPLAYED]
    assert judge(newer, await see(C), OfferLimits(), NOON) == Adopt()
