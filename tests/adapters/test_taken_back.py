"""What was written after its caller had been told that it is not: the ledger takes it back, and says so."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from tests.databases import Place
from tests.ledger_values import (
    COPILOT,
    ISSUER,
    a_grant,
    an_authorization,
    an_issuance,
    asked,
    failed_record,
    grant_id,
    issued_record,
    kinds,
    opening,
    state_of,
    task_id,
)
from tests.stalling_clock import StallingClock

from remit_server.adapters.database.engine import Database, open_database
from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.lifecycle import endings
from remit_server.adapters.database.migrations import migrate
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.adapters.database.writing.group_commit import GroupCommit
from remit_server.adapters.database.writing.store import Store
from remit_server.domain.audit import ChainIntact
from remit_server.domain.errors import Outage, Reason


@dataclass
class Stalling:
    """A ledger whose disk stalls when a test says so; a stall of 0.4 s is taken for one."""

    ledger: DatabaseLedger
    commit: GroupCommit
    database: Database
    clock: StallingClock
    path: Place

    async def too_late(self, call: Coroutine[Any, Any, None]) -> None:
        """Has a call refused whose transaction stalls and is committed afterwards; returns when it was taken back."""
        self.clock.stall()
        async with asyncio.timeout(60):
            with pytest.raises(Outage) as raised:
                await call
        self.clock.go_on()
        await self.database.write(lambda _: None)  # stands behind what stalled
        await self.ledger.sweep(self.clock.now())  # and this behind what takes it back

        assert raised.value.reason is Reason.LEDGER_UNAVAILABLE

    def last_record(self) -> dict[str, Any]:
        """Returns what the last record says."""
        (body,) = asked(self.path, "SELECT body FROM audit_events ORDER BY sequence DESC LIMIT 1")[0]
        said: dict[str, Any] = json.loads(body)
        return said


@pytest.fixture
async def stalling(place: Place) -> AsyncIterator[Stalling]:
    path, clock = place, StallingClock()
    database = open_database(path)
    await database.write(migrate)
    commit = GroupCommit(database, clock, stuck_after=timedelta(milliseconds=400))
    commit.start()
    yield Stalling(DatabaseLedger(Store(database, commit, clock)), commit, database, clock, path)
    clock.go_on()
    await commit.close()
    await database.close()
    assert isinstance(verify(path), ChainIntact)


async def test_a_grant_that_was_authorized_too_late_has_failed_in_an_outage(stalling: Stalling) -> None:
    await stalling.too_late(stalling.ledger.authorize(opening()))

    assert state_of(stalling.path) == "FAILED"
    assert kinds(stalling.path) == ["task_started", "grant_authorized", "issuance_failed"]
    assert stalling.last_record() == {
        "grant_id": grant_id(1),
        "reason": "LEDGER_UNAVAILABLE",
        "state": "FAILED",
        "task_id": task_id(1),
    }


async def test_its_request_may_be_tried_again_with_the_same_single_use_token(stalling: Stalling) -> None:
    token = (ISSUER, "token-1")
    await stalling.too_late(stalling.ledger.authorize(opening(single_use=token)))
    known = await stalling.ledger.remembered(COPILOT.actor_id, "request-1")

    await stalling.ledger.authorize(an_authorization(single_use=token))
    await stalling.ledger.issue(grant_id(1), an_issuance(), issued_record())

    assert known is not None
    assert known.may_be_tried_again
    assert state_of(stalling.path) == "ISSUED"


async def test_a_grant_that_was_authorized_again_too_late_has_failed_again(stalling: Stalling) -> None:
    await stalling.ledger.authorize(opening())
    await stalling.ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False)

    await stalling.too_late(stalling.ledger.authorize(an_authorization()))

    assert state_of(stalling.path) == "FAILED"
    assert kinds(stalling.path)[-2:] == ["grant_authorized", "issuance_failed"]


async def test_what_was_authorized_in_time_is_not_taken_back(stalling: Stalling) -> None:
    await stalling.ledger.authorize(opening())

    await stalling.too_late(stalling.ledger.authorize(opening(2)))

    assert [state_of(stalling.path, 1), state_of(stalling.path, 2)] == ["AUTHORIZED", "FAILED"]


async def test_a_grant_that_was_issued_too_late_is_being_revoked_and_on_record_as_withheld(stalling: Stalling) -> None:
    await stalling.ledger.authorize(opening())
    stalling.clock.advance(seconds=3)

    await stalling.too_late(stalling.ledger.issue(grant_id(1), an_issuance(), issued_record()))

    assert kinds(stalling.path)[-2:] == ["credentials_issued", "grant_withheld"]
    said = stalling.last_record()
    assert (said["task_id"], said["grant_id"]) == (task_id(1), grant_id(1))
    assert said["expire_time"] == a_grant().expire_time.isoformat(timespec="microseconds")
    assert asked(stalling.path, "SELECT state, state_time, revoke_time FROM grants") == [
        ("REVOKING", *["2026-11-23T12:00:03.000000+00:00"] * 2)
    ]


async def test_a_failure_that_is_recorded_after_that_says_where_the_grant_stands(stalling: Stalling) -> None:
    await stalling.ledger.authorize(opening())
    await stalling.too_late(stalling.ledger.issue(grant_id(1), an_issuance(), issued_record()))

    await stalling.ledger.fail(grant_id(1), failed_record(state="FAILED"), credentials_may_exist=False)

    assert stalling.last_record()["state"] == "REVOKING"
    assert state_of(stalling.path) == "REVOKING"


async def test_a_repeat_that_was_issued_too_late_leaves_what_was_given_before(stalling: Stalling) -> None:
    await stalling.ledger.authorize(opening())
    await stalling.ledger.issue(grant_id(1), an_issuance(1), issued_record())

    await stalling.too_late(stalling.ledger.issue(grant_id(1), an_issuance(2), issued_record()))

    assert state_of(stalling.path) == "ISSUED"
    assert kinds(stalling.path)[-2:] == ["credentials_issued", "credentials_issued"]


async def test_an_issue_that_lost_leaves_nothing_to_take_back(stalling: Stalling) -> None:
    await stalling.ledger.authorize(opening())
    await stalling.ledger.end_task(task_id(1), COPILOT, stalling.clock.now())
    before = kinds(stalling.path)

    await stalling.too_late(stalling.ledger.issue(grant_id(1), an_issuance(), issued_record()))

    assert kinds(stalling.path) == before
    assert state_of(stalling.path) == "REVOKING"


async def test_what_another_process_moved_on_meanwhile_stays_where_it_is(stalling: Stalling) -> None:
    await stalling.ledger.authorize(opening())
    await stalling.ledger.issue(grant_id(1), an_issuance(), issued_record())
    await stalling.ledger.end_task(task_id(1), COPILOT, stalling.clock.now())
    before = kinds(stalling.path)
    stalling.clock.advance(seconds=3)

    await stalling.commit(lambda batch: endings.withhold(batch, grant_id(1), an_issuance(), denying=True))
    await stalling.commit(lambda batch: endings.take_back(batch, a_grant()))

    assert kinds(stalling.path) == before
    assert asked(stalling.path, "SELECT state, revoke_time FROM grants") == [
        ("REVOKING", "2026-11-23T12:00:00.000000+00:00")
    ]
