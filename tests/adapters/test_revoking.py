"""Revokes in the ledger: what stops, who is refused afterwards, and what AWS is to be told."""

from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    COPILOT,
    ISSUER,
    a_grant,
    a_presented,
    a_task,
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

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.revoking.denies import DatabaseDenies
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.application.revocation.texts import mark_of, policy_text
from remit_server.domain.errors import Denied, Reason, Remedy
from remit_server.domain.revocation import DenyTag, RevokeCause, RevokeOrder, SessionDeny, Target, TargetKind
from remit_server.domain.session_names import revision_part, subject_part

ACCOUNT = "111122223333"
REVISION = "b" * 64
SUBJECT = subject_part(ISSUER, "alice")
ALICE = Target(TargetKind.SUBJECT, "alice", ISSUER)


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
def revocations(ledger: DatabaseLedger) -> DatabaseRevocations:
    return DatabaseRevocations(ledger.store)


@pytest.fixture
def denies(ledger: DatabaseLedger) -> DatabaseDenies:
    return DatabaseDenies(ledger.store)


def tagged(number: int = 1, task: int | None = None, **changes: Any) -> Any:
    """Returns a grant whose tags are as the gateway makes them."""
    task = task or number
    tags = (
        ("remit:grant", f"{SUBJECT}.{task_id(task)}.{grant_id(number)}"),
        ("remit:by", f"{'a' * 26}.{revision_part(REVISION)}"),
    )
    return a_grant(number, task, tags=tags, **changes)


async def issue(ledger: DatabaseLedger, number: int = 1, **changes: Any) -> None:
    """Issues the grant of this number in a task of its own; its session was opened a minute ago."""
    grant = tagged(number, **changes)
    owner = {"subject_id": grant.subject_id, "actor_id": grant.actor_id}
    await ledger.authorize(an_authorization(f"request-{number}", grant=grant, new_task=a_task(number, **owner)))
    opened = NOON - timedelta(minutes=1)
    issuance = replace(an_issuance(number), policy_revision=grant.policy_revision, issue_time=opened)
    await ledger.issue(grant_id(number), issuance, issued_record(number))


def order(target: Target, cause: RevokeCause = RevokeCause.REQUESTED, **changes: Any) -> RevokeOrder:
    values: dict[str, Any] = {"revocation_id": "r" * 26, "by": "acme:sam", "why": "a drill"}
    return RevokeOrder(target=target, cause=cause, **{**values, **changes})


async def refusal(call: Coroutine[Any, Any, object]) -> Denied:
    with pytest.raises(Denied) as raised:
        await call
    return raised.value


TARGETS = {
    "grant": Target(TargetKind.GRANT, grant_id(1)),
    "task": Target(TargetKind.TASK, task_id(1)),
    "subject": ALICE,
    "actor": Target(TargetKind.ACTOR, COPILOT.actor_id),
    "revision": Target(TargetKind.REVISION, REVISION),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
async def test_a_revoke_stops_what_it_is_aimed_at_and_nothing_else(
    target: Target, ledger: DatabaseLedger, revocations: DatabaseRevocations, database: Place
) -> None:
    await issue(ledger, 1)
    await issue(ledger, 2, subject_id="bob", actor_id="spiffe://example/another", policy_revision="d" * 64)

    revoked = await revocations.revoke(order(target))

    assert (revoked.grant_count, revoked.grants) == (1, (f"tasks/{task_id(1)}/grants/{grant_id(1)}",))
    assert revoked.credentials_until == NOON + timedelta(minutes=15)
    assert (state_of(database, 1), state_of(database, 2)) == ("REVOKING", "ISSUED")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (TARGETS["grant"], (DenyTag.GRANT, f"{SUBJECT}.{task_id(1)}.{grant_id(1)}", False)),
        (TARGETS["task"], (DenyTag.GRANT, f"{SUBJECT}.{task_id(1)}.*", False)),
        (ALICE, (DenyTag.GRANT, f"{SUBJECT}.*", True)),
        (TARGETS["actor"], (DenyTag.BY, f"{'a' * 26}.*", True)),
        (TARGETS["revision"], (DenyTag.BY, f"*.{revision_part(REVISION)}", True)),
    ],
    ids=TARGETS,
)
async def test_aws_is_to_be_told_by_a_prefix_and_by_time_where_a_next_login_must_live(
    target: Target, expected: tuple[DenyTag, str, bool], ledger: DatabaseLedger, clock: FakeClock
) -> None:
    tag, pattern, bounded = expected
    await issue(ledger)
    clock.advance(seconds=10.5)

    await DatabaseRevocations(ledger.store).revoke(order(target))

    assert await DatabaseDenies(ledger.store).wanted(ACCOUNT, clock.now()) == [
        SessionDeny(
            number=1,
            account=ACCOUNT,
            tag=tag,
            pattern=pattern,
            subject=SUBJECT if tag is DenyTag.GRANT else "",
            issued_before=NOON + timedelta(seconds=11) if bounded else None,
            last_issued=clock.now(),
            covers_until=NOON + timedelta(minutes=15),
            required=True,
            revoke_time=clock.now(),
        )
    ]


async def test_an_authorized_grant_that_is_revoked_is_never_issued(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies
) -> None:
    await ledger.authorize(an_authorization(grant=tagged(), new_task=a_task()))

    await revocations.revoke(order(ALICE))

    denied = await refusal(ledger.issue(grant_id(1), an_issuance(), issued_record()))
    assert denied.reason is Reason.GRANT_NOT_LIVE
    # STS may open that session after the bound in time: its own name is denied as well.
    patterns = [(one.pattern, one.required) for one in await denies.wanted(ACCOUNT, NOON)]
    assert patterns == [(f"{SUBJECT}.*", True), (f"{SUBJECT}.{task_id(1)}.{grant_id(1)}", False)]


async def test_a_grant_that_was_revoked_after_an_outage_at_sts_is_not_tried_again(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, database: Place
) -> None:
    await ledger.authorize(opening())
    await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False)

    await revocations.revoke(order(TARGETS["grant"]))
    error = await refusal(ledger.authorize(an_authorization()))

    assert (error.reason, state_of(database)) == (Reason.GRANT_NOT_LIVE, "FAILED")


async def test_a_revoked_task_is_over(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, database: Place
) -> None:
    await issue(ledger)

    await revocations.revoke(order(TARGETS["task"]))

    ended = await ledger.end_task(task_id(1), COPILOT, NOON)
    assert ended.denying
    assert kinds(database)[-2:] == ["task_ended", "grants_revoked"]
    again = await refusal(ledger.authorize(an_authorization("request-2", grant=tagged(2, 1))))
    assert again.reason is Reason.GRANT_NOT_LIVE


@pytest.mark.parametrize(
    ("target", "reason"),
    [(ALICE, Reason.SUBJECT_TOKEN_REJECTED), (TARGETS["actor"], Reason.ACTOR_REJECTED)],
    ids=["subject", "actor"],
)
async def test_tokens_from_before_a_revoke_are_refused_and_later_ones_taken(
    target: Target, reason: Reason, ledger: DatabaseLedger, revocations: DatabaseRevocations, clock: FakeClock
) -> None:
    await revocations.revoke(order(target))
    clock.advance(seconds=2)

    refused = await refusal(ledger.authorize(an_authorization(grant=tagged(), new_task=a_task())))
    checked = await refusal(ledger.check_presented(a_presented()))

    assert (refused.reason, refused.remedy, str(checked)) == (reason, Remedy.REAUTHENTICATE, str(refused))
    assert "2026-11-23T12:00:00Z" in refused.message
    later = NOON + timedelta(seconds=1)
    await ledger.check_presented(a_presented(subject_token_time=later, actor_token_time=later))


async def test_a_revoke_is_held_against_an_agent_whose_proof_has_no_time(
    ledger: DatabaseLedger, revocations: DatabaseRevocations
) -> None:
    await revocations.revoke(order(TARGETS["actor"]))

    refused = await refusal(ledger.check_presented(a_presented(actor_token_time=None)))

    assert refused.reason is Reason.ACTOR_REJECTED


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (ALICE, Reason.SUBJECT_TOKEN_REJECTED),
        (TARGETS["actor"], Reason.ACTOR_REJECTED),
        (TARGETS["revision"], Reason.POLICY_DENIED),
    ],
    ids=["subject", "actor", "revision"],
)
async def test_a_block_refuses_later_tokens_too_until_it_is_lifted(
    target: Target, reason: Reason, ledger: DatabaseLedger, revocations: DatabaseRevocations, clock: FakeClock
) -> None:
    await revocations.revoke(order(target, block=True))
    clock.advance(hours=1)
    later = a_presented(subject_token_time=clock.now(), actor_token_time=clock.now())

    refused = await refusal(ledger.check_presented(later))
    (block,) = await revocations.blocks(10)
    lifted = await revocations.lift(block.block_id, "acme:sam", "he is back")

    assert (refused.reason, block.target, block.by) == (reason, target, "acme:sam")
    assert await revocations.lift(block.block_id, "acme:sam", "again") == lifted
    assert await revocations.blocks(10) == []
    await ledger.check_presented(later)


async def test_another_issuers_user_of_the_same_name_is_not_refused(
    ledger: DatabaseLedger, revocations: DatabaseRevocations
) -> None:
    await revocations.revoke(order(ALICE, block=True))

    await ledger.check_presented(a_presented(subject_issuer="https://other.example"))


async def test_a_grant_or_task_that_is_not_there_cannot_be_revoked(
    revocations: DatabaseRevocations, database: Place
) -> None:
    nothing = [Target(TargetKind.GRANT, grant_id(9)), Target(TargetKind.TASK, task_id(9))]

    reasons = [(await refusal(revocations.revoke(order(target)))).reason for target in nothing]

    assert reasons == [Reason.NOT_FOUND, Reason.NOT_FOUND]
    assert kinds(database) == []


async def test_a_revoke_that_matches_nothing_says_so_and_holds_for_old_tokens(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies
) -> None:
    revoked = await revocations.revoke(order(ALICE))

    assert (revoked.grant_count, revoked.credentials_until, revoked.denying) == (0, None, False)
    assert await denies.wanted(ACCOUNT, NOON) == []
    assert (await refusal(ledger.check_presented(a_presented()))).reason is Reason.SUBJECT_TOKEN_REJECTED


async def test_an_ended_task_is_told_to_aws_while_its_credentials_last(
    ledger: DatabaseLedger, denies: DatabaseDenies, clock: FakeClock
) -> None:
    await issue(ledger)

    ended = await ledger.end_task(task_id(1), COPILOT, clock.now())

    (deny,) = await denies.wanted(ACCOUNT, clock.now())
    assert ended.denying
    assert (deny.pattern, deny.required, deny.issued_before) == (f"{SUBJECT}.{task_id(1)}.*", False, None)
    assert (await ledger.end_task(task_id(1), COPILOT, clock.now())) == ended


async def test_an_ended_task_whose_credentials_end_soon_is_left_to_their_time_guard(
    ledger: DatabaseLedger, denies: DatabaseDenies, clock: FakeClock
) -> None:
    await issue(ledger)
    clock.advance(minutes=13)

    ended = await ledger.end_task(task_id(1), COPILOT, clock.now())

    assert (ended.denying, ended.credentials_until) == (False, NOON + timedelta(minutes=15))
    assert await denies.wanted(ACCOUNT, clock.now()) == []


async def test_the_last_quarter_of_the_room_is_not_for_ended_tasks(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, database: Place, clock: FakeClock
) -> None:
    await issue(ledger, 1)
    await issue(ledger, 2)
    columns = (
        "number, revocation_id, account, tag, pattern, subject_part, last_issued, covers_until, required, revoke_time"
    )
    until = "2026-11-23T13:00:00.000000+00:00"
    for number in range(100, 440):
        values = (number, "x", ACCOUNT, "remit:grant", "p" * 52, "", until, until, True, until)
        asked(database, f"INSERT INTO denies ({columns}) VALUES ({', '.join('?' * 10)})", *values)  # noqa: S608

    ended = await ledger.end_task(task_id(1), COPILOT, clock.now())
    revoked = await revocations.revoke(order(Target(TargetKind.TASK, task_id(2))))

    assert (ended.denying, revoked.denying) == (False, True)


async def test_a_gateway_without_revocation_queues_nothing(database: Place, clock: FakeClock) -> None:
    async with open_ledger(database, clock) as ledger:
        await issue(ledger)

        revoked = await DatabaseRevocations(ledger.store).revoke(order(ALICE))

        assert (revoked.grant_count, revoked.denying) == (1, False)
        assert asked(database, "SELECT * FROM denies") == []


async def test_a_written_deny_that_was_seen_to_work_makes_its_grants_revoked(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, database: Place, clock: FakeClock
) -> None:
    await issue(ledger)
    await revocations.revoke(order(ALICE))
    assert await denies.hold(ACCOUNT, "worker-1", 30)
    (deny,) = await denies.wanted(ACCOUNT, clock.now())

    await denies.denied(ACCOUNT, "worker-1", [deny.number], clock.now(), clock.now() + timedelta(minutes=5))
    clock.advance(seconds=4)
    await denies.observed(ACCOUNT, "worker-1", [deny.number], clock.now())

    found = asked(database, "SELECT state, effective, effective_time FROM grants")
    assert found == [("REVOKED", "OBSERVED", "2026-11-23T12:00:04.000000+00:00")]
    assert kinds(database)[-2:] == ["sessions_denied", "denial_effective"]


async def test_a_written_deny_that_nobody_saw_work_is_taken_for_effective_when_its_time_has_come(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, database: Place, clock: FakeClock
) -> None:
    await issue(ledger)
    await revocations.revoke(order(ALICE))
    await denies.hold(ACCOUNT, "worker-1", 30)
    await denies.denied(ACCOUNT, "worker-1", [1], clock.now(), NOON + timedelta(minutes=5))

    clock.advance(minutes=4)
    await ledger.sweep(clock.now())
    before = state_of(database)
    clock.advance(minutes=1)
    await ledger.sweep(clock.now())

    assert before == "REVOKING"
    found = asked(database, "SELECT state, effective, effective_time FROM grants")
    assert found == [("REVOKED", "ASSUMED", "2026-11-23T12:05:00.000000+00:00")]


async def test_one_process_at_a_time_writes_to_an_account(denies: DatabaseDenies, clock: FakeClock) -> None:
    first = await denies.hold(ACCOUNT, "worker-1", 30)
    other = await denies.hold(ACCOUNT, "worker-2", 30)
    again = await denies.hold(ACCOUNT, "worker-1", 30)
    clock.advance(seconds=30)
    late = await denies.hold(ACCOUNT, "worker-2", 30)

    assert (first, other, again, late) == (True, False, True, True)


async def test_whoever_lost_the_account_records_no_write(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, database: Place, clock: FakeClock
) -> None:
    await issue(ledger)
    await revocations.revoke(order(ALICE))
    await denies.hold(ACCOUNT, "worker-1", 30)
    clock.advance(seconds=31)
    await denies.hold(ACCOUNT, "worker-2", 30)

    await denies.denied(ACCOUNT, "worker-1", [1], clock.now(), clock.now())
    await denies.no_room(ACCOUNT, "worker-1", [1])

    assert asked(database, "SELECT write_time, no_room FROM denies") == [(None, 0)]


async def test_denies_without_room_are_told_once_and_their_grants_stay_revoking(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, database: Place
) -> None:
    await issue(ledger)
    await revocations.revoke(order(ALICE))
    await denies.hold(ACCOUNT, "worker-1", 30)

    await denies.no_room(ACCOUNT, "worker-1", [1])
    await denies.no_room(ACCOUNT, "worker-1", [1])

    assert state_of(database) == "REVOKING"
    assert kinds(database).count("denial_without_room") == 1


async def test_a_ledger_has_one_mark_however_much_it_grows_and_another_one_has_another(
    ledger: DatabaseLedger, denies: DatabaseDenies, tmp_path: Path
) -> None:
    await issue(ledger, 1)
    mark = await denies.identity()
    await issue(ledger, 2)
    async with open_ledger(f"sqlite:///{tmp_path}/other.db", FakeClock(), denying=True) as other:
        await issue(other, 3)
        others = await DatabaseDenies(other.store).identity()

    again = await DatabaseDenies(ledger.store).identity()

    assert again == mark == mark_of(policy_text([], mark))
    assert others != mark


async def test_a_policy_of_another_ledger_is_on_record_by_whoever_holds_the_account(
    denies: DatabaseDenies, database: Place
) -> None:
    await denies.hold(ACCOUNT, "worker-1", 30)

    await denies.foreign(ACCOUNT, "worker-1", "remit-revocations-1", "RemitX")
    await denies.changed(ACCOUNT, "worker-1", "remit-revocations-2")
    await denies.foreign(ACCOUNT, "worker-2", "remit-revocations-1", "RemitX")

    assert kinds(database) == ["revocation_policy_foreign", "revocation_policy_changed"]


async def test_the_earliest_live_session_is_that_of_the_oldest_unrevoked_grant(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, clock: FakeClock
) -> None:
    nobody = await denies.earliest_live(ACCOUNT, None)
    await issue(ledger, 1)
    clock.advance(minutes=1)
    await ledger.authorize(opening(2))
    oldest = await denies.earliest_live(ACCOUNT, None)
    await revocations.revoke(order(TARGETS["grant"]))
    of_alice = await denies.earliest_live(ACCOUNT, SUBJECT)

    assert (nobody, oldest, of_alice) == (None, NOON - timedelta(minutes=1), None)
    assert await denies.earliest_live(ACCOUNT, None) == clock.now()


async def test_what_is_over_is_dropped(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, clock: FakeClock
) -> None:
    await issue(ledger)
    await revocations.revoke(order(ALICE))
    await denies.hold(ACCOUNT, "worker-1", 3600)
    clock.advance(minutes=20)

    assert (await denies.accounts(), await denies.wanted(ACCOUNT, clock.now())) == ([ACCOUNT], [])
    await denies.dropped(ACCOUNT, "worker-1", clock.now())

    assert await denies.accounts() == []


async def test_an_explicit_revoke_of_an_ended_task_tells_aws_in_any_case(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, clock: FakeClock
) -> None:
    await issue(ledger)
    clock.advance(minutes=14)
    await ledger.end_task(task_id(1), COPILOT, clock.now())

    revoked = await revocations.revoke(order(TARGETS["task"]))

    (deny,) = await denies.wanted(ACCOUNT, clock.now())
    assert (revoked.grant_count, revoked.denying, deny.required) == (0, True, True)


async def test_a_grant_that_two_revokes_cover_becomes_revoked_with_the_later_one(
    ledger: DatabaseLedger, revocations: DatabaseRevocations, denies: DatabaseDenies, database: Place
) -> None:
    await issue(ledger)
    await ledger.end_task(task_id(1), COPILOT, NOON)
    await revocations.revoke(order(ALICE))
    await denies.hold(ACCOUNT, "worker-1", 30)

    await denies.observed(ACCOUNT, "worker-1", [one.number for one in await denies.wanted(ACCOUNT, NOON)], NOON)

    assert state_of(database) == "REVOKED"
