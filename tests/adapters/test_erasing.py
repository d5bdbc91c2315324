"""What is kept beside the chain goes when it was not used for long, or when its user says so; the chain stays whole."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.databases import Place, asked
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    a_grant,
    a_task,
    an_authorization,
    an_issuance,
    grant_id,
    issued_record,
    kinds,
    opening,
    refused_record,
)
from tests.property.test_time_travel_laws import PATIENT
from tests.recorded_world import default_bundle, on_record, recorded
from typer.testing import CliRunner, Result

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.policies.shadow_counting import DatabaseShadowCounting
from remit_server.adapters.database.trail.audit_log import verify, verify_with_inputs
from remit_server.adapters.database.trail.erasing import AT_ONCE, DatabaseErasing, erase_texts, erase_unused
from remit_server.adapters.rego.embedded import EmbeddedRego
from remit_server.application.sweep import Sweep
from remit_server.cli.main import app
from remit_server.domain.audit import ChainIntact
from remit_server.domain.decision import KeptText
from remit_server.domain.erasing_records import TextsErased
from remit_server.domain.grant import GrantState
from remit_server.domain.policy_revision import ShadowCount

KEEP = timedelta(days=31)
CEILINGS = KeptText('{"forbidden":[],"roles":[]}')


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(place: Place, clock: FakeClock) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(place, clock) as opened:
        yield opened


@pytest.fixture
def erasing(ledger: DatabaseLedger) -> DatabaseErasing:
    return DatabaseErasing(ledger.store, KEEP, CEILINGS)


def texts(place: Place) -> set[str]:
    return {text for (text,) in asked(place, "SELECT text FROM audit_texts")} - {CEILINGS.text}


def erased(place: Place) -> list[int]:
    bodies = asked(place, "SELECT body FROM audit_events WHERE kind = 'texts_erased' ORDER BY sequence")
    return [json.loads(body)["texts"] for (body,) in bodies]


async def test_what_was_not_used_for_long_is_erased_on_record_and_the_chain_stays_whole(
    ledger: DatabaseLedger, erasing: DatabaseErasing, place: Place, clock: FakeClock
) -> None:
    await ledger.record(refused_record(), kept=[KeptText('{"old":1}'), KeptText('{"old":2}')])
    clock.advance(days=31)
    await erasing.sweep(clock.now())
    before = texts(place)
    clock.advance(minutes=2)

    await erasing.sweep(clock.now())

    assert (before, texts(place)) == ({'{"old":1}', '{"old":2}'}, set())
    assert erased(place) == [2]
    assert isinstance(verify(place), ChainIntact)


async def test_what_is_used_again_stays(
    ledger: DatabaseLedger, erasing: DatabaseErasing, place: Place, clock: FakeClock
) -> None:
    again, once = KeptText('{"decision":"of many"}'), KeptText('{"input":"of one"}')
    await ledger.record(refused_record(), kept=[again, once])
    for _ in range(3):
        clock.advance(days=20)
        await ledger.record(refused_record(), kept=[again])
        await erasing.sweep(clock.now())

    assert texts(place) == {again.text}


@pytest.mark.parametrize("state", [GrantState.AUTHORIZED, GrantState.ISSUED, GrantState.PENDING_APPROVAL])
async def test_nothing_that_a_live_grant_rests_on_is_erased_whatever_the_bound(
    ledger: DatabaseLedger, place: Place, clock: FakeClock, state: GrantState
) -> None:
    end = NOON + timedelta(days=30)
    task, grant = a_task(end_time=end), a_grant(expire_time=end)
    await ledger.authorize(an_authorization(grant=grant, new_task=task))
    asked(place, "UPDATE grants SET state = ?", state.value)
    clock.advance(days=30, seconds=-1)
    kept = texts(place)

    await ledger.store.commit(lambda batch: erase_unused(batch, clock.now()))

    assert texts(place) == kept
    assert len(kept) == 3
    assert erased(place) == []


async def test_what_a_grant_rested_on_is_erased_once_it_is_over(
    ledger: DatabaseLedger, place: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening())
    await ledger.issue(grant_id(1), an_issuance(), issued_record())
    clock.advance(days=32)
    await ledger.sweep(clock.now())

    await ledger.store.commit(lambda batch: erase_unused(batch, clock.now() - KEEP))

    assert texts(place) == set()


async def test_the_ceilings_of_a_gateway_that_runs_on_are_kept_anew(
    ledger: DatabaseLedger, erasing: DatabaseErasing, place: Place, clock: FakeClock
) -> None:
    await ledger.record(refused_record(), kept=[CEILINGS])
    for _ in range(60):
        clock.advance(days=2)
        await erasing.sweep(clock.now())

    assert asked(place, "SELECT digest FROM audit_texts") == [(CEILINGS.digest,)]


async def test_a_backlog_is_erased_in_steps_each_with_its_record(
    ledger: DatabaseLedger, erasing: DatabaseErasing, place: Place, clock: FakeClock
) -> None:
    await ledger.record(refused_record(), kept=[KeptText(f'{{"n":{n}}}') for n in range(2 * AT_ONCE + 7)])
    clock.advance(days=31, minutes=5)

    done = [await erasing.sweep(clock.now()) for _ in range(5)]

    assert done == [AT_ONCE, AT_ONCE, 7, 0, 0]
    assert erased(place) == [AT_ONCE, AT_ONCE, 7]
    assert texts(place) == set()


async def test_the_housekeeping_erases(ledger: DatabaseLedger, erasing: DatabaseErasing, place: Place) -> None:
    await ledger.record(refused_record(), kept=[KeptText('{"old":1}')])
    later = FakeClock(NOON + timedelta(days=40))
    gone = asyncio.Event()

    async def swept(now: datetime) -> int:
        done = await erasing.sweep(now)
        gone.set()
        return done

    class NobodyRejected:
        """Has nothing to write: who is rejected is no part of this."""

        async def write(self) -> None:
            return None

    sweep = Sweep(ledger, NobodyRejected(), later, every=timedelta(), also=[swept])  # type: ignore[arg-type]
    running = asyncio.create_task(sweep())
    await gone.wait()
    running.cancel()

    assert texts(place) == set()


# --- beside a shadow's counts ---------------------------------------------------------------------------------------


def counted(subject: str, difference: str, time: datetime) -> ShadowCount:
    example = json.dumps({"subject_issuer": "https://idp.example", "subject_id": subject, "purpose": "look"})
    return ShadowCount("a" * 64, difference, 3, example, time, time)


def examples(place: Place) -> dict[str, str]:
    found = asked(place, "SELECT difference, example, count FROM shadow_counts")
    assert all(count == 3 for *_, count in found)
    return {difference: json.loads(example)["subject_id"] if example else "" for difference, example, _ in found}


async def test_an_example_of_a_shadow_goes_by_age_as_texts_do_and_its_count_stays(
    ledger: DatabaseLedger, erasing: DatabaseErasing, place: Place, clock: FakeClock
) -> None:
    counts = [counted("alice", "WIDER", NOON), counted("alice", "NARROWER", NOON + timedelta(days=20))]
    await DatabaseShadowCounting(ledger.store).add("c" * 64, counts)
    clock.advance(days=32)

    await erasing.sweep(clock.now())

    assert examples(place) == {"WIDER": "", "NARROWER": "alice"}


async def test_an_example_of_a_shadow_goes_with_what_else_is_kept_of_its_user(
    ledger: DatabaseLedger, place: Place
) -> None:
    counts = [counted("alice", "WIDER", NOON), counted("eve", "NARROWER", NOON)]
    await DatabaseShadowCounting(ledger.store).add("c" * 64, counts)
    record = TextsErased(0, subject_issuer="https://idp.example", subject_id="alice", by="offline")

    done = await erase_texts(ledger.store, (), record)

    assert done == 1
    assert examples(place) == {"WIDER": "", "NARROWER": "eve"}
    assert erased(place) == [1]


# --- for one subject --------------------------------------------------------------------------------------------------


def erase(place: Place, *options: str) -> Result:
    arguments = ["audit", "erase", "--database", str(place), "--issuer", "https://idp.example", *options]
    with ThreadPoolExecutor(1) as beside:  # a command runs in a process of its own, with no loop around it
        return beside.submit(CliRunner().invoke, app, arguments).result()


async def two_users(place: Place, *, live: bool) -> None:
    """Has alice and eve decided about, with the same answer of policy once, and ends their tasks unless `live`."""
    engine = await EmbeddedRego.start(default_bundle()[0], PATIENT)
    try:
        async with recorded(place, engine) as house:
            await house.issues("alice", "reads")
            await house.issues("alice", "elsewhere")
            house.waits(1)
            await house.issues("eve", "reads")
            await house.issues("gus", "reads")
            if not live:
                for number in range(len(house.grants)):
                    await house.ends(number)
    finally:
        await engine.close()


def kept_of(place: Place, user: str) -> list[tuple[bool, bool, bool]]:
    found = [one for one in on_record(place) if one.body["who"]["subject_id"] == user]
    return [(one.question is not None, one.circumstances is not None, one.decision is not None) for one in found]


def test_what_is_kept_of_one_user_goes_and_nothing_of_anybody_else(place: Place) -> None:
    asyncio.run(two_users(place, live=False))
    before = kept_of(place, "eve"), kept_of(place, "gus")

    outcome = erase(place, "--subject", "alice")

    assert outcome.exit_code == 0, outcome.output
    assert {one[:2] for one in kept_of(place, "alice")} == {(False, False)}
    assert (kept_of(place, "eve"), kept_of(place, "gus")) == before
    verdict, inputs = verify_with_inputs(place)
    assert isinstance(verdict, ChainIntact)
    assert inputs is not None
    assert inputs.named - inputs.kept == 2
    (body,) = (json.loads(it) for (it,) in asked(place, "SELECT body FROM audit_events WHERE kind = 'texts_erased'"))
    assert (body["subject_id"], body["subject_issuer"]) == ("alice", "https://idp.example")
    assert body["by"].startswith("offline:")


def test_what_live_grants_rest_on_stays_and_is_told(place: Place) -> None:
    asyncio.run(two_users(place, live=True))

    outcome = erase(place, "--subject", "alice")

    assert "as live grants rest on them" in outcome.stdout
    assert kept_of(place, "alice") == [(True, True, True), (False, False, True)]


def test_a_dry_run_only_counts(place: Place) -> None:
    asyncio.run(two_users(place, live=False))
    before = asked(place, "SELECT count(*) FROM audit_texts"), kinds(place)

    outcome = erase(place, "--subject", "alice", "--dry-run")

    assert (outcome.exit_code, (asked(place, "SELECT count(*) FROM audit_texts"), kinds(place))) == (0, before)
    assert "would be erased" in outcome.stdout


def test_a_user_whom_nobody_knows_has_nothing_erased(place: Place) -> None:
    asyncio.run(two_users(place, live=False))

    outcome = erase(place, "--subject", "mallory")

    assert outcome.stdout == "0 texts about this user are erased; the records name 0.\n"
    assert "texts_erased" not in kinds(place)


def test_no_ledger_is_made_where_there_is_none(tmp_path: Any) -> None:
    outcome = erase(tmp_path / "missing.db", "--subject", "alice")

    assert outcome.exit_code == 2
    assert list(tmp_path.iterdir()) == []
