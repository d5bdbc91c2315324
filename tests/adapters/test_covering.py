"""That what AWS is told covers every session of what was revoked, and that nothing is called refused before it is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.databases import Place, asked
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    COPILOT,
    ISSUER,
    a_grant,
    a_presented,
    a_task,
    an_authorization,
    an_issuance,
    grant_id,
    issued_record,
    state_of,
    task_id,
)

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.revoking.covering import NAMED_AT_MOST, OTHERS_AT_MOST
from remit_server.adapters.database.revoking.denies import DatabaseDenies
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.domain.revocation import RevokeCause, RevokeOrder, SessionDeny, Target, TargetKind, opened_before
from remit_server.domain.session_names import revision_part, subject_part

ACCOUNT = "111122223333"
OLD, NEW = "b" * 64, "e" * 64
SUBJECT, ACTOR = subject_part(ISSUER, "alice"), "a" * 26
ALICE = Target(TargetKind.SUBJECT, "alice", ISSUER)
LATER = NOON + timedelta(minutes=20)


class SteppingClock(FakeClock):
    """A clock that says when it was stepped."""

    settled = True

    def unsettled_for(self) -> timedelta | None:
        return None if self.settled else timedelta(seconds=30)


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
async def ledger(place: Place, clock: SteppingClock) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(place, clock, denying=True) as opened:
        yield opened


@pytest.fixture
def denies(ledger: DatabaseLedger) -> DatabaseDenies:
    return DatabaseDenies(ledger.store)


async def issue(ledger: DatabaseLedger, number: int = 1, *, opened: datetime = NOON - timedelta(minutes=1)) -> None:
    tags = (
        ("remit:grant", f"{SUBJECT}.{task_id(number)}.{grant_id(number)}"),
        ("remit:by", f"{ACTOR}.{revision_part(OLD)}"),
    )
    grant = a_grant(number, number, tags=tags, expire_time=LATER)
    seen = a_presented(subject_token_time=max(opened, NOON))
    asked_for = an_authorization(f"request-{number}", grant=grant, new_task=a_task(number))
    await ledger.authorize(replace(asked_for, presented=seen))
    issuance = replace(an_issuance(number), issue_time=opened, expire_time=LATER)
    await ledger.issue(grant_id(number), issuance, issued_record(number))


async def revoke(ledger: DatabaseLedger, target: Target, **changes: Any) -> None:
    order = RevokeOrder("r" * 26, target, RevokeCause.REQUESTED, by="acme:sam", why="a drill")
    await DatabaseRevocations(ledger.store).revoke(replace(order, **changes))


def renewed_under(place: Place, revision: str, number: int = 1) -> None:
    """Writes what a renewal under another revision leaves behind: the grant's present revision, and an issuance."""
    asked(place, "UPDATE grants SET policy_revision = ? WHERE grant_id = ?", revision, grant_id(number))
    asked(
        place,
        "INSERT INTO issuances (grant_id, access_key_id, session_policy_digest, policy_revision, issue_time,"
        " expire_time) SELECT grant_id, 'ASIARENEWED', session_policy_digest, ?, issue_time, expire_time"
        " FROM issuances WHERE grant_id = ?",
        revision,
        grant_id(number),
    )


def is_covered(grant_tag: str, by_tag: str, opened: datetime, told: list[SessionDeny]) -> bool:
    """Says whether a session is refused by the denies as they stand."""
    tags = {"remit:grant": grant_tag, "remit:by": by_tag}

    def is_like(pattern: str, tag: str) -> bool:
        start, star, end = pattern.partition("*")
        return tag.startswith(start) and tag.endswith(end) if star else tag == pattern

    return any(
        is_like(one.pattern, tags[one.tag.value]) and (one.issued_before is None or opened < one.issued_before)
        for one in told
    )


def tag(number: int = 1) -> str:
    return f"{SUBJECT}.{task_id(number)}.{grant_id(number)}"


@pytest.mark.parametrize("revoked", [OLD, NEW])
async def test_a_revoke_of_a_revision_reaches_the_sessions_that_its_grants_had_under_another(
    revoked: str, ledger: DatabaseLedger, denies: DatabaseDenies, place: Place, clock: SteppingClock
) -> None:
    await issue(ledger)
    renewed_under(place, NEW)
    await issue(ledger, 2)
    clock.advance(minutes=1)

    await revoke(ledger, Target(TargetKind.REVISION, revoked))

    told = list(await denies.wanted(ACCOUNT, clock.now()))
    sessions = [(tag(), f"{ACTOR}.{revision_part(revision)}", NOON - timedelta(minutes=1)) for revision in (OLD, NEW)]
    assert state_of(place) == "REVOKING"
    assert all(is_covered(*session, told) for session in sessions)
    assert all(one.required for one in told)


async def test_of_very_many_such_grants_those_without_a_deny_of_their_own_are_not_called_refused(
    ledger: DatabaseLedger, denies: DatabaseDenies, place: Place, clock: SteppingClock
) -> None:
    for number in range(1, OTHERS_AT_MOST + 2):
        await issue(ledger, number)
        renewed_under(place, NEW, number)
    await revoke(ledger, Target(TargetKind.REVISION, NEW))
    told = await denies.wanted(ACCOUNT, clock.now())

    await denies.observed(ACCOUNT, "worker-1", [one.number for one in told], clock.now())

    states = dict(asked(place, "SELECT state, count(*) FROM grants GROUP BY state"))
    assert (len(told), states) == (OTHERS_AT_MOST + 1, {"REVOKED": OTHERS_AT_MOST, "REVOKING": 1})


@pytest.mark.parametrize("target", [ALICE, Target(TargetKind.ACTOR, COPILOT.actor_id)], ids=str)
async def test_a_session_that_aws_opened_by_a_clock_ahead_of_ours_just_before_a_revoke_is_refused(
    target: Target, ledger: DatabaseLedger, denies: DatabaseDenies, clock: SteppingClock
) -> None:
    await issue(ledger, opened=NOON)

    clock.advance(seconds=0.5)
    await revoke(ledger, target)

    told = list(await denies.wanted(ACCOUNT, clock.now()))
    by_aws = NOON + timedelta(seconds=4)
    assert is_covered(tag(), f"{ACTOR}.{revision_part(OLD)}", by_aws, told)
    assert not is_covered(tag(2), f"{ACTOR}.{revision_part(OLD)}", by_aws, told)  # the next login lives


async def test_very_many_young_sessions_are_covered_by_a_later_bound(
    ledger: DatabaseLedger, denies: DatabaseDenies, clock: SteppingClock
) -> None:
    for number in range(1, NAMED_AT_MOST + 2):
        await issue(ledger, number, opened=NOON)

    await revoke(ledger, ALICE)

    (told,) = await denies.wanted(ACCOUNT, clock.now())
    assert told.issued_before == opened_before(NOON + timedelta(seconds=5))


async def test_a_revoke_by_a_clock_that_fell_behind_reaches_what_was_opened_since(
    ledger: DatabaseLedger, denies: DatabaseDenies, clock: SteppingClock
) -> None:
    await issue(ledger, opened=NOON)

    clock.advance(minutes=-10)
    await revoke(ledger, ALICE)

    told = list(await denies.wanted(ACCOUNT, clock.now()))
    assert is_covered(tag(), f"{ACTOR}.{revision_part(OLD)}", NOON + timedelta(seconds=1), told)


async def test_a_revoke_while_the_clock_is_not_settled_stops_what_only_seems_to_be_over(
    ledger: DatabaseLedger, denies: DatabaseDenies, place: Place, clock: SteppingClock
) -> None:
    await issue(ledger)

    clock.advance(hours=1)
    clock.settled = False
    await revoke(ledger, ALICE)
    clock.advance(hours=-1)

    assert state_of(place) == "REVOKING"
    assert [one.covers_until for one in await denies.wanted(ACCOUNT, clock.now())] == [LATER]


async def test_grants_are_revoked_only_when_every_deny_that_they_need_is_obeyed(
    ledger: DatabaseLedger, denies: DatabaseDenies, place: Place, clock: SteppingClock
) -> None:
    await issue(ledger, opened=NOON)
    await revoke(ledger, ALICE)
    by_subject, by_name = (one.number for one in await denies.wanted(ACCOUNT, clock.now()))

    await denies.observed(ACCOUNT, "worker-1", [by_name], clock.now())
    halfway = state_of(place)
    await denies.observed(ACCOUNT, "worker-1", [by_subject], clock.now())

    assert (halfway, state_of(place)) == ("REVOKING", "REVOKED")


async def test_a_renewal_that_aws_is_being_asked_for_counts_as_living(
    ledger: DatabaseLedger, denies: DatabaseDenies, place: Place
) -> None:
    await issue(ledger)
    early = NOON - timedelta(minutes=2)
    asked(place, "UPDATE grants SET renewing_time = ?", early.isoformat(timespec="microseconds"))

    assert await denies.earliest_live(ACCOUNT, SUBJECT) == early


async def test_a_deny_of_an_account_that_nobody_writes_to_is_forgotten_a_day_after_it_is_over(
    ledger: DatabaseLedger, denies: DatabaseDenies, clock: SteppingClock
) -> None:
    await issue(ledger)
    await revoke(ledger, ALICE)

    clock.advance(hours=24)
    await ledger.sweep(clock.now())
    kept = await denies.accounts()
    clock.advance(minutes=20)
    await ledger.sweep(clock.now())

    assert (kept, await denies.accounts()) == ([ACCOUNT], [])


async def test_an_agent_that_ends_its_task_takes_no_grant_away_from_the_revoke_that_stopped_it(
    ledger: DatabaseLedger, denies: DatabaseDenies, place: Place, clock: SteppingClock
) -> None:
    await issue(ledger)
    another = a_grant(2, 1, tags=(("remit:grant", tag(2)), ("remit:by", f"{ACTOR}.{revision_part(OLD)}")))
    await ledger.authorize(an_authorization("request-2", grant=another))
    await revoke(ledger, Target(TargetKind.GRANT, grant_id(1)))
    (stopped,) = await denies.wanted(ACCOUNT, clock.now())
    await ledger.end_task(task_id(1), COPILOT, clock.now())

    await denies.observed(ACCOUNT, "worker-1", [stopped.number], clock.now())

    assert (state_of(place, 1), state_of(place, 2)) == ("REVOKED", "REVOKING")


async def test_a_repeated_revoke_neither_fills_the_outbox_nor_keeps_its_grants_from_being_revoked(
    ledger: DatabaseLedger, denies: DatabaseDenies, place: Place, clock: SteppingClock
) -> None:
    await issue(ledger)
    await revoke(ledger, ALICE)
    (first,) = await denies.wanted(ACCOUNT, clock.now())
    for number in range(3):
        clock.advance(seconds=1)
        await revoke(ledger, ALICE, revocation_id=f"{number:026}")

    told = await denies.wanted(ACCOUNT, clock.now())
    await denies.observed(ACCOUNT, "worker-1", [first.number], clock.now())

    assert told == [first]
    assert state_of(place) == "REVOKED"


async def test_a_repeated_revoke_reaches_what_was_stopped_since_by_less(
    ledger: DatabaseLedger, denies: DatabaseDenies, clock: SteppingClock
) -> None:
    await issue(ledger)
    await revoke(ledger, ALICE)
    clock.advance(minutes=1)
    await issue(ledger, 2, opened=clock.now())
    clock.advance(minutes=18, seconds=30)
    await ledger.end_task(task_id(2), COPILOT, clock.now())

    await revoke(ledger, ALICE, revocation_id="s" * 26)

    told = list(await denies.wanted(ACCOUNT, clock.now()))
    assert is_covered(tag(2), f"{ACTOR}.{revision_part(OLD)}", NOON + timedelta(minutes=1), told)
