"""What the security side reads of a ledger, on both databases: filters, pages, changes, and the trail as it grows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text
from tests.databases import Place as DatabasePlace
from tests.fakes import NOON, FakeClock
from tests.ledger_values import WHO, a_grant, a_task, grant_id, task_id
from tests.property.test_grant_filters import ALL

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.reading.grant_shelf import MOST_OF_A_RECORD, DatabaseGrants, page_query
from remit_server.adapters.database.reading.lookup import Lookup
from remit_server.adapters.database.reading.own_reader import own_reader
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.schema.rows import grant_row, issuance_row, task_row
from remit_server.adapters.database.schema.tables import grants, issuances, tasks
from remit_server.adapters.database.trail import audit_log
from remit_server.adapters.database.trail.trail import DatabaseTrail
from remit_server.application.oversight.ports import Place, TrailFilter
from remit_server.domain.administration import EVERYTHING, Scope, Visibility
from remit_server.domain.audit import ChainedEvent, ChainIntact, CredentialsIssued, GatewayStarted
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.grant_filter.reading import filter_of
from remit_server.domain.grant_filter.terms import matches
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind


@dataclass(frozen=True)
class House:
    """A ledger, and what the security side reads of it."""

    ledger: DatabaseLedger
    shelf: DatabaseGrants
    trail: DatabaseTrail


@asynccontextmanager
async def opened(place: DatabasePlace) -> AsyncIterator[House]:
    async with open_ledger(place, FakeClock()) as ledger, own_reader(place) as reads:
        trail = DatabaseTrail(reads, partial(audit_log.verify, place), timedelta(milliseconds=10))
        yield House(ledger, DatabaseGrants(reads), trail)


async def fill(ledger: DatabaseLedger, *given: Grant) -> None:
    """Writes grants as they are."""

    def write(batch: Any) -> None:
        known = [task_row(replace(a_task(1), task_id=one)) for one in {grant.task_id for grant in given}]
        batch.connection.execute(insert(tasks), known)
        batch.connection.execute(insert(grants), [grant_row(one) | {"state_time": NOON} for one in given])
        if rows := [issuance_row(one.grant_id, each) for one in given for each in one.issuances]:
            batch.connection.execute(insert(issuances), rows)

    await ledger.store.commit(write)


def told(number: int) -> CredentialsIssued:
    return CredentialsIssued(
        who=WHO,
        request_id="r",
        task_id=task_id(1),
        grant_id=grant_id(number),
        access_key_id="ASIA",
        session_policy_digest="a",
        policy_revision="b",
        expire_time=NOON,
        packed_policy_percent=None,
        repeated=False,
    )


FILTERS = [
    "",
    "state = ISSUED",
    "NOT state = ISSUED",
    "state != REVOKED AND break_glass = true",
    'subject.id = "alice"',
    'subject.id != "alice"',
    'subject.id = "ALICE" OR subject.id = "al"',
    "subject.id = \"alice' OR '1'='1\"",
    'subject.id = "%" OR subject.id = "_"',
    'subject.id = "größe" AND NOT revoke_time:*',
    'entitlements:"alice"',
    'entitlements:"a\\"b" OR entitlements:"a\\\\b"',
    'NOT entitlements:"a,b"',
    "access_key_id = ASIA7 OR access_key_id = ASIA8",
    "issue_time > 2026-11-23T12:00:00Z AND expire_time <= 2026-11-23T13:00:00Z",
    "revoke_time < 2026-11-23T12:00:00.000001Z",
    "NOT revoke_time < 2026-11-23T12:00:00.000001Z",
    "revoke_time != 2026-11-23T12:00:00Z",
    "revoke_time:*",
]
CALLERS = [
    EVERYTHING,
    Visibility(),
    Visibility(own=("null", "alice")),
    Visibility(
        own=("al", "%"), scopes=(Scope(accounts=frozenset({"011122223333"}), actors=frozenset({"a,b", "alice"})),)
    ),
]


@pytest.mark.parametrize("few", [5_000, 2])
async def test_a_filter_means_the_same_to_the_database_as_to_python(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("remit_server.adapters.database.reading.lookup.FEW", few)
    async with opened(place) as house:
        await fill(house.ledger, *ALL.values())
        for text in FILTERS:
            wanted = filter_of(text)
            for caller in CALLERS:
                meant = [one for one in ALL.values() if caller.covers(one) and (wanted is None or matches(wanted, one))]
                expected = sorted(meant, key=lambda one: (one.issue_time, one.grant_id), reverse=True)
                found: list[Grant] = []
                after = None
                while page := await house.shelf.page(wanted, caller, at_most=7, after=after):
                    found += page
                    after = Place(page[-1].issue_time, page[-1].grant_id)

                assert found == expected, text


async def test_grants_are_told_of_after_the_records_that_change_them(place: DatabasePlace) -> None:
    async with opened(place) as house:
        await fill(house.ledger, *(a_grant(number, state=GrantState.ISSUED) for number in range(1, 4)))
        start = await house.trail.head()
        await house.ledger.record(told(2))
        await house.ledger.record(GatewayStarted("1", "a", "b", "c"))
        await house.ledger.record(told(1))
        await house.ledger.record(told(2))

        reached, changes = await house.shelf.changes(start, await house.trail.head())

        assert [(change.grant.grant_id, change.sequence - start) for change in changes] == [
            (grant_id(1), 3),
            (grant_id(2), 4),
        ]
        assert reached == start + 4
        assert await house.shelf.changes(reached, reached) == (reached, [])


async def test_a_revoke_of_many_tells_of_a_bounded_number(place: DatabasePlace) -> None:
    async with opened(place) as house:
        many = [
            a_grant(
                number,
                state=GrantState.ISSUED,
                tags=(("remit:grant", f"{'a' * 26}.{'b' * 26}.c"), ("remit:by", f"{'d' * 26}.e")),
            )
            for number in range(MOST_OF_A_RECORD + 5)
        ]
        await fill(house.ledger, *many)
        start = await house.trail.head()
        order = RevokeOrder(
            "r" * 26, Target(TargetKind.ACTOR, many[0].actor_id), RevokeCause.REQUESTED, "corp:olga", "x"
        )
        revoked = await DatabaseRevocations(house.ledger.store).revoke(order)

        _, changes = await house.shelf.changes(start, await house.trail.head())

        assert revoked.grant_count == len(many)
        assert len(changes) == MOST_OF_A_RECORD
        assert all(change.grant.revoke_time is not None for change in changes)


async def test_whoever_waits_for_the_chain_to_grow_shares_one_look(place: DatabasePlace) -> None:
    async with opened(place) as house:
        head = await house.trail.head()
        waiting = [asyncio.create_task(house.trail.grown(head)) for _ in range(20)]
        await asyncio.sleep(0.03)
        assert not any(one.done() for one in waiting)
        await house.ledger.record(GatewayStarted("1", "a", "b", "c"))

        assert await asyncio.gather(*waiting) == [head + 1] * 20


async def test_one_who_stops_waiting_takes_nobody_with_it(place: DatabasePlace) -> None:
    async with opened(place) as house:
        head = await house.trail.head()
        gone, stays = (asyncio.create_task(house.trail.grown(head)) for _ in range(2))
        await asyncio.sleep(0.02)
        gone.cancel()
        await house.ledger.record(GatewayStarted("1", "a", "b", "c"))

        assert await stays == head + 1


async def test_a_rare_kind_is_looked_for_in_bounded_parts(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remit_server.adapters.database.trail.trail.MOST_LOOKED_AT", 3)
    async with opened(place) as house:
        await house.ledger.record(told(1))
        for _ in range(8):
            await house.ledger.record(GatewayStarted("1", "a", "b", "c"))
        found: list[ChainedEvent] = []
        before, pages = None, 0
        while pages == 0 or before is not None:
            page = await house.trail.before(before, TrailFilter(kind="credentials_issued"), at_most=5)
            found += page.events
            before, pages = page.goes_on_before, pages + 1

        assert [one.kind for one in found] == ["credentials_issued"]
        assert pages == 3


async def test_the_chain_is_verified_on_a_connection_of_its_own(place: DatabasePlace) -> None:
    async with opened(place) as house:
        await house.ledger.record(told(1))

        assert isinstance(await house.trail.verify(), ChainIntact)


async def test_a_ledger_that_cannot_be_read_is_an_outage(place: DatabasePlace) -> None:
    async with open_ledger(place, FakeClock()), own_reader(place) as reads:
        await reads.database.close()
        with pytest.raises(Outage) as raised:
            await DatabaseGrants(reads).grant("x")

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE


async def test_what_takes_too_long_is_ended_by_the_database_itself(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remit_server.adapters.database.reading.own_reader.PATIENCE", timedelta(milliseconds=300))
    endless = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(3600)",
    }

    async with opened(place) as house, own_reader(place) as reads:

        def run(connection: Connection) -> None:
            connection.execute(text(endless[connection.dialect.name]))

        with pytest.raises(Outage, match="takes too long to find"):
            await reads.read(run)
        monkeypatch.undo()

        assert await DatabaseGrants(reads).grant("x") is None  # its one connection is free again
        assert await house.trail.head() == 0


async def test_where_many_have_a_value_its_index_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit_server.adapters.database.reading.lookup.FEW", 3)
    async with opened(tmp_path / "ledger.db") as house:
        many = [a_grant(number, state=GrantState.EXPIRED) for number in range(6)]
        await fill(house.ledger, *many, a_grant(9, state=GrantState.REVOKING))

        def plan(filter_: str, connection: Connection) -> str:
            query = page_query(filter_of(filter_), EVERYTHING, at_most=5, look_up=Lookup(connection))
            compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
            rows = connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
            return " ".join(str(row[-1]) for row in rows)

        dense = await house.ledger.store.read(partial(plan, "state = EXPIRED"))
        sparse = await house.ledger.store.read(partial(plan, "state = REVOKING"))

        assert "ix_grants_issue_time_grant_id" in dense
        assert "B-TREE" not in dense
        assert "ix_grants_state" in sparse
