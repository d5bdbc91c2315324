"""The history that is replayed: which records are decisions, how far back, what was erased, and what was never kept."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, update
from tests.databases import Place
from tests.fakes import NOON, ROLES, permission, role
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import EPOCH, REPORT, Recorded, edited, recording, replayed, some_history, told

from remit_server.adapters.database.engine import open_database, open_for_reading
from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import OwnReader
from remit_server.adapters.database.schema.tables import audit_events, audit_texts
from remit_server.application.planning.ceilings import kept_ceilings
from remit_server.application.policy.ports import RecordedDecision
from remit_server.domain.errors import Denied, Outage, Reason

SQLITE_ONLY = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


@pytest.fixture
async def gateway(place: Place) -> AsyncIterator[Recorded]:
    async with recording(place) as made:
        yield made


async def history_of(
    place: Place, *, since: timedelta = timedelta(), most: int = 1_000, page: int = 5
) -> Sequence[RecordedDecision]:
    """Returns the decisions since so long after noon."""
    database = open_for_reading(place)
    try:
        history = DatabaseHistory(OwnReader(database), page)
        span = await history.span(NOON + since, most=most)
        pages = [one async for one in history.decisions(span)] if span else []
    finally:
        await database.close()
    assert [one.through for one in pages] == sorted({one.through for one in pages})
    return [decision for one in pages for decision in one.decisions]


async def test_every_real_decision_is_history_once_and_no_preview_is(gateway: Recorded) -> None:
    await some_history(gateway)

    found = await history_of(gateway.place)

    kinds = ["grant_authorized", "renewal_authorized", "approval_asked", "request_refused"]
    assert [sum(one.kind == kind for one in found) for kind in kinds] == [7, 1, 2, 3]
    assert "preview_decided" in await gateway.world.trail()
    assert all(one.question and one.circumstances and one.decision and not one.erased for one in found)


async def test_history_begins_where_it_is_asked_to(gateway: Recorded) -> None:
    for _ in range(5):
        await gateway.issued(REPORT)  # each 61.5 s after the one before

    counts = [len(await history_of(gateway.place, since=timedelta(seconds=61.5 * n))) for n in range(8)]

    assert counts == [5, 5, 4, 3, 2, 1, 0, 0]


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (2, 2), (4, 4), (100, 5)])
async def test_the_newest_are_history_when_there_are_more_than_are_asked_for(
    gateway: Recorded, most: int, expected: int
) -> None:
    for _ in range(5):
        await gateway.issued(REPORT)

    found, everything = await history_of(gateway.place, most=most), await history_of(gateway.place)

    assert [one.sequence for one in found] == [one.sequence for one in everything][-expected:]


async def test_where_nothing_is_on_record_there_is_no_history(gateway: Recorded) -> None:
    found = await history_of(gateway.place, since=timedelta(days=1))
    report = await replayed(gateway.place, DEFAULT_POLICIES, since=EPOCH)

    assert found == []
    assert report.decisions == 0


async def test_a_call_that_found_no_policy_or_no_sts_is_no_decision(gateway: Recorded) -> None:
    gateway.world.sts.failure = Outage(Reason.STS_UNAVAILABLE, "STS is away")
    refused = await gateway.asks(REPORT)

    found = await history_of(gateway.place)

    assert isinstance(refused, Outage)
    assert [one.kind for one in found] == ["grant_authorized"]


@SQLITE_ONLY
async def test_decisions_whose_texts_were_erased_are_counted_and_the_others_replayed(gateway: Recorded) -> None:
    await gateway.issued(REPORT)
    await gateway.issued(REPORT, user="bob")
    first = (await history_of(gateway.place))[0]
    database = open_database(gateway.place)
    await database.write(
        lambda connection: connection.execute(delete(audit_texts).where(audit_texts.c.digest == first.input_digest))
    )
    await database.close()

    report = await replayed(gateway.place, DEFAULT_POLICIES)

    assert report.verdicts == {"ERASED": 1, "IDENTICAL": 1}
    assert (report.compared, report.uncompared) == (1, 1)


@SQLITE_ONLY
async def test_records_of_an_earlier_version_are_replayed_by_policys_yes_or_no(
    gateway: Recorded, tmp_path: Path
) -> None:
    await gateway.issued(REPORT)
    await gateway.asks(REPORT, user="zoe")

    def forget(body: str) -> str:
        return func.json_remove(body, "$.circumstances_digest", "$.decision_digest")  # type: ignore[return-value]

    database = open_database(gateway.place)
    older = update(audit_events).values(body=forget(audit_events.c.body))  # type: ignore[arg-type]
    await database.write(lambda connection: connection.execute(older))
    await database.close()
    swap = edited(
        tmp_path / "swap",
        catalogue=lambda tree: tree["by_group"].update(guests=tree["by_group"].pop("analysts")),
    )

    same, swapped = await replayed(gateway.place, DEFAULT_POLICIES), await replayed(gateway.place, swap)

    assert (same.verdicts, same.partly) == ({"SAME": 2}, 2)
    assert told(swapped) == [("NEWLY_ALLOWED", 1), ("NEWLY_REFUSED", 1)]
    assert swapped.groups[0].reasons[-1] == "policy allows it; whether the intent fits was not looked at"


@SQLITE_ONLY
async def test_where_the_ceilings_are_gone_others_can_be_given(gateway: Recorded) -> None:
    await gateway.issued(REPORT)
    database = open_database(gateway.place)
    await database.write(
        lambda connection: connection.execute(delete(audit_texts).where(audit_texts.c.digest == gateway.kept.digest))
    )
    await database.close()

    without = await replayed(gateway.place, DEFAULT_POLICIES)
    given = await replayed(gateway.place, DEFAULT_POLICIES, given_ceilings=gateway.kept)

    assert without.verdicts == {"NO_CEILINGS": 1}
    assert (given.verdicts, given.given_ceilings) == ({"IDENTICAL": 1}, True)


@SQLITE_ONLY
async def test_narrower_ceilings_that_are_given_are_told_apart_from_what_the_candidate_does(
    gateway: Recorded,
) -> None:
    await gateway.issued(REPORT)
    await gateway.issued(REPORT)
    nothing = role(ROLES[0].arn, actions=["s3:ListBucket"], resources=["arn:aws:s3:::reports"])

    report = await replayed(gateway.place, DEFAULT_POLICIES, given_ceilings=kept_ceilings([nothing, ROLES[1]], ()))

    assert report.unrepeated == 2
    assert report.groups == ()


async def test_a_history_is_read_while_the_gateway_writes(gateway: Recorded) -> None:
    await gateway.issued(REPORT)
    database = open_for_reading(gateway.place)
    history = DatabaseHistory(OwnReader(database), 1)
    span = await history.span(NOON, most=100)
    assert span is not None
    pages = history.decisions(span)
    await anext(pages)

    await gateway.issued(REPORT)
    rest = [page async for page in pages]
    await database.close()

    assert max(page.through for page in rest) == span.last


@SQLITE_ONLY
async def test_a_record_that_the_ledger_did_not_write_ends_the_replay_with_what_to_do(gateway: Recorded) -> None:
    await gateway.issued(REPORT)
    database = open_database(gateway.place)
    broken = update(audit_events).where(audit_events.c.kind == "grant_authorized").values(body="{}")
    await database.write(lambda connection: connection.execute(broken))
    await database.close()

    with pytest.raises(Outage) as raised:
        await history_of(gateway.place)

    assert "audit verify" in str(raised.value.__cause__)


async def test_a_part_of_a_grant_given_or_refused_is_no_decision(gateway: Recorded) -> None:
    whole = await gateway.issued(REPORT)
    world = gateway.world
    before = await history_of(gateway.place)
    part = await world.attenuate(world.attenuation(whole.grant, REPORT))
    with pytest.raises(Denied):
        await world.attenuate(world.attenuation(whole.grant, permission("s3:PutObject", "*")))

    found = await history_of(gateway.place)
    report = await replayed(gateway.place, DEFAULT_POLICIES, since=EPOCH)

    assert part.grant.parent_name == whole.grant.name
    assert (await world.trail())[-3:] == ["attenuation_authorized", "credentials_issued", "request_refused"]
    assert [one.sequence for one in found] == [one.sequence for one in before]
    assert report.decisions == len(found) == 1
