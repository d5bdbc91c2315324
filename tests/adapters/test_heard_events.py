"""Security events in the ledger: each does what it means once, and lifts only what its own source blocked."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import NOON, FakeClock
from tests.ledger_values import ISSUER, a_presented, asked, kinds, opening, state_of

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.revoking.heard_events import DatabaseSecurityEvents
from remit_server.domain.audit import CallersRejected
from remit_server.domain.errors import Denied
from remit_server.domain.security_event import REMEMBERED_FOR, SecurityEvent, SecurityEventKind

OKTA = "ssf:okta"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(place: Place) -> Place:
    return place


@pytest.fixture
async def ledger(database: Place, clock: FakeClock) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(database, clock, denying=True) as opened:
        yield opened


@pytest.fixture
def events(ledger: DatabaseLedger) -> DatabaseSecurityEvents:
    return DatabaseSecurityEvents(ledger.store)


def event(kind: SecurityEventKind = SecurityEventKind.SESSION_REVOKED, **changes: Any) -> SecurityEvent:
    values: dict[str, Any] = {
        "subject_issuer": ISSUER,
        "subject_id": "alice",
        "event_time": NOON,
        "source": OKTA,
        "event_id": f"{kind.value}-1",
        "reason": "the admin said so",
    }
    return SecurityEvent(kind, **{**values, **changes})


async def is_refused(ledger: DatabaseLedger, at: FakeClock) -> bool:
    """Says whether alice is refused with a token of this moment."""
    try:
        await ledger.check_presented(a_presented(subject_token_time=at.now(), actor_token_time=at.now()))
    except Denied:
        return True
    return False


@pytest.mark.parametrize("kind", [SecurityEventKind.SESSION_REVOKED, SecurityEventKind.CREDENTIAL_CHANGE])
async def test_a_revoked_session_ends_what_was_issued_and_lets_the_next_login_live(
    kind: SecurityEventKind, ledger: DatabaseLedger, events: DatabaseSecurityEvents, database: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening())

    new = await events.revoke_for_event(event(kind))

    clock.advance(seconds=1)
    assert (new, state_of(database), await is_refused(ledger, clock)) == (True, "REVOKING", False)
    assert asked(database, 'SELECT cause, "by", why FROM revocations') == [
        ("SECURITY_EVENT", OKTA, f"{kind.value.lower()}: the admin said so")
    ]


async def test_a_disabled_account_is_blocked_until_its_source_enables_it(
    ledger: DatabaseLedger, events: DatabaseSecurityEvents, clock: FakeClock
) -> None:
    await events.revoke_for_event(event(SecurityEventKind.ACCOUNT_DISABLED))
    clock.advance(hours=1)
    blocked = await is_refused(ledger, clock)

    await events.revoke_for_event(event(SecurityEventKind.ACCOUNT_ENABLED, event_time=clock.now()))

    assert (blocked, await is_refused(ledger, clock)) == (True, False)
    assert await events.blocked_subjects(ISSUER, OKTA) == []


async def test_another_source_lifts_no_block(
    ledger: DatabaseLedger, events: DatabaseSecurityEvents, clock: FakeClock
) -> None:
    await events.revoke_for_event(event(SecurityEventKind.ACCOUNT_DISABLED))

    await events.revoke_for_event(event(SecurityEventKind.ACCOUNT_ENABLED, source="webhook:hr"))

    assert await is_refused(ledger, clock)
    assert await events.blocked_subjects(ISSUER, OKTA) == ["alice"]
    assert await events.blocked_subjects(ISSUER, "webhook:hr") == []


async def test_an_enabling_that_is_older_than_the_block_lifts_nothing(
    ledger: DatabaseLedger, events: DatabaseSecurityEvents, clock: FakeClock
) -> None:
    await events.revoke_for_event(event(SecurityEventKind.ACCOUNT_DISABLED))

    await events.revoke_for_event(event(SecurityEventKind.ACCOUNT_ENABLED, event_time=NOON - timedelta(seconds=1)))

    assert await is_refused(ledger, clock)


async def test_an_event_that_was_seen_changes_nothing(events: DatabaseSecurityEvents, database: Place) -> None:
    first = await events.revoke_for_event(event())
    again = await events.revoke_for_event(event())
    elsewhere = await events.revoke_for_event(event(source="ssf:other"))

    assert (first, again, elsewhere) == (True, False, True)
    assert kinds(database) == ["grants_revoked", "grants_revoked"]


async def test_what_changes_nothing_is_recorded_once(events: DatabaseSecurityEvents, database: Place) -> None:
    record = CallersRejected("here", "invalid_key", 1, NOON)

    told = [await events.record_once(OKTA, "jti-1", record) for _ in range(2)]

    assert (told, await events.seen(OKTA, "jti-1"), await events.seen(OKTA, "jti-2")) == ([True, False], True, False)
    assert kinds(database) == ["callers_rejected"]


async def test_events_are_remembered_for_longer_than_they_are_taken(
    ledger: DatabaseLedger, events: DatabaseSecurityEvents, clock: FakeClock
) -> None:
    await events.revoke_for_event(event())
    clock.time = NOON + REMEMBERED_FOR - timedelta(seconds=1)
    await ledger.sweep(clock.now())
    before = await events.seen(OKTA, event().event_id)

    clock.advance(seconds=1)
    await ledger.sweep(clock.now())

    assert (before, await events.seen(OKTA, event().event_id)) == (True, False)


async def test_live_subjects_are_those_of_the_issuer_with_grants_that_are_not_over(
    ledger: DatabaseLedger, events: DatabaseSecurityEvents
) -> None:
    await ledger.authorize(opening())

    live = await events.live_subjects(ISSUER)
    await events.revoke_for_event(event())

    assert (live, await events.live_subjects("https://other.example")) == (["alice"], [])
    assert await events.live_subjects(ISSUER) == []


async def test_subjects_are_found_by_the_name_that_aws_knows_and_named_by_it(
    ledger: DatabaseLedger, events: DatabaseSecurityEvents
) -> None:
    await ledger.authorize(opening())

    assert await events.subjects_named(ISSUER, "login.alice") == ["alice"]
    assert await events.subjects_named("https://other.example", "login.alice") == []
    assert await events.subjects_named(ISSUER, "login.bob") == []
    assert await events.identity_of(ISSUER, "alice") == "login.alice"
    assert await events.identity_of(ISSUER, "bob") is None
