import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from tests.databases import Place
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    ANOTHER,
    COPILOT,
    ISSUER,
    NAME,
    a_grant,
    a_key,
    a_task,
    an_authorization,
    an_issuance,
    asked,
    failed_record,
    grant_id,
    issued_record,
    kinds,
    opening,
    refused_record,
    state_of,
    task_id,
)

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.adapters.database.writing.group_commit import GroupCommit
from remit_server.application.ports import Ledger, Remembered
from remit_server.domain.audit import ChainIntact
from remit_server.domain.decision import DecisionInput
from remit_server.domain.errors import Denied, FailedPermission, Outage, Reason, Refusal, Remedy, RequestKnown
from remit_server.domain.grant import GrantState
from remit_server.domain.permission import Permission
from remit_server.domain.revocation import RevokeCause
from remit_server.domain.task import TaskState
from remit_server.iam import ActionPattern, Condition, ResourcePattern


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(place: Place) -> Place:
    return place


@pytest.fixture
async def ledger(database: Place, clock: FakeClock) -> AsyncIterator[DatabaseLedger]:
    """A ledger by which five hundred callers at once may wait for longer than at a gateway: the machine may be busy."""
    async with open_ledger(database, clock, commits=partial(GroupCommit, patience=timedelta(minutes=1))) as opened:
        yield opened


async def remembered(ledger: Ledger, request_id: str = "request-1") -> Remembered:
    known = await ledger.remembered(COPILOT.actor_id, request_id)
    assert known is not None
    return known


# Authorizing


async def test_what_was_authorized_is_remembered_exactly(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())

    known = await remembered(ledger)
    assert known == Remembered("1" * 64, a_grant(), None)
    assert await ledger.task(task_id(1)) == a_task(grants_so_far=1)


async def test_what_is_not_there_is_none(ledger: DatabaseLedger) -> None:
    assert await ledger.remembered(COPILOT.actor_id, "request-1") is None
    assert await ledger.task(task_id(1)) is None


async def test_requests_of_two_actors_do_not_meet(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())

    assert await ledger.remembered(ANOTHER.actor_id, "request-1") is None


async def test_each_grant_of_a_task_is_counted(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())
    await ledger.authorize(an_authorization("request-2", grant=a_grant(2, 1)))

    task = await ledger.task(task_id(1))
    assert task is not None
    assert task.grants_so_far == 2


async def test_what_a_decision_rests_on_is_kept_beside_the_chain_by_its_digests(
    ledger: DatabaseLedger, database: Place
) -> None:
    authorization = opening()

    await ledger.authorize(authorization)

    kept = asked(database, "SELECT digest, text FROM audit_texts")
    assert authorization.basis is not None
    assert set(kept) == {(text.digest, text.text) for text in authorization.basis.texts}
    assert kinds(database) == ["task_started", "grant_authorized"]


async def test_a_request_that_was_written_meanwhile_is_an_outage_and_writes_nothing(
    ledger: DatabaseLedger, database: Place
) -> None:
    await ledger.authorize(opening())

    with pytest.raises(Outage) as raised:
        await ledger.authorize(an_authorization("request-1", grant=a_grant(2, 2), new_task=a_task(2)))

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    assert raised.value.remedy is Remedy.RETRY_LATER
    assert await ledger.task(task_id(2)) is None
    assert kinds(database) == ["task_started", "grant_authorized"]


@pytest.mark.parametrize(
    "grant", [a_grant(2, 9), a_grant(2, 1, actor_id=ANOTHER.actor_id), a_grant(2, 1, subject_id="mallory")]
)
async def test_a_task_of_others_is_not_found(ledger: DatabaseLedger, grant: object) -> None:
    await ledger.authorize(opening())

    with pytest.raises(Denied) as raised:
        await ledger.authorize(an_authorization("request-2", grant=grant))  # type: ignore[arg-type]

    assert raised.value.reason is Reason.NOT_FOUND
    assert await ledger.remembered(COPILOT.actor_id, "request-2") is None


async def test_an_ended_task_gets_no_further_grant(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())
    await ledger.end_task(task_id(1), COPILOT, NOON)

    with pytest.raises(Denied) as raised:
        await ledger.authorize(an_authorization("request-2", grant=a_grant(2, 1)))

    assert raised.value.reason is Reason.GRANT_NOT_LIVE


async def test_a_task_whose_time_is_over_gets_no_further_grant(ledger: DatabaseLedger, clock: FakeClock) -> None:
    await ledger.authorize(opening())
    clock.advance(hours=1)

    with pytest.raises(Denied) as raised:
        await ledger.authorize(an_authorization("request-2", grant=a_grant(2, 1)))

    assert raised.value.reason is Reason.GRANT_NOT_LIVE


# Single-use tokens


async def test_a_single_use_token_is_good_for_its_first_task_again(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening(single_use=(ISSUER, "token-1")))

    await ledger.authorize(an_authorization("request-2", grant=a_grant(2, 1), single_use=(ISSUER, "token-1")))

    assert (await remembered(ledger, "request-2")).grant == a_grant(2, 1)


async def test_a_single_use_token_is_good_for_no_other_task(ledger: DatabaseLedger, database: Place) -> None:
    await ledger.authorize(opening(single_use=(ISSUER, "token-1")))

    with pytest.raises(Denied) as raised:
        await ledger.authorize(opening(2, single_use=(ISSUER, "token-1")))

    assert raised.value.reason is Reason.TOKEN_REPLAYED
    assert raised.value.remedy is Remedy.REAUTHENTICATE
    assert await ledger.task(task_id(2)) is None
    assert asked(database, "SELECT task_id FROM single_use_tokens") == [(task_id(1),)]


async def test_a_single_use_token_is_good_for_no_other_actor(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening(single_use=(ISSUER, "token-1")))
    stolen = an_authorization(
        "request-2",
        grant=a_grant(2, 2, actor_id=ANOTHER.actor_id),
        new_task=a_task(2, actor_id=ANOTHER.actor_id),
        single_use=(ISSUER, "token-1"),
    )

    with pytest.raises(Denied) as raised:
        await ledger.authorize(stolen)

    assert raised.value.reason is Reason.TOKEN_REPLAYED


async def test_equal_token_ids_of_two_issuers_do_not_meet(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening(single_use=(ISSUER, "token-1")))

    await ledger.authorize(opening(2, single_use=("https://other.example", "token-1")))

    assert (await remembered(ledger, "request-2")).grant is not None


# Issuing


async def test_an_issued_grant_lists_its_issuances_in_order(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())

    await ledger.issue(grant_id(1), an_issuance(1), issued_record())
    await ledger.issue(grant_id(1), an_issuance(2), issued_record())

    grant = (await remembered(ledger)).grant
    assert grant == replace(a_grant(), state=GrantState.ISSUED, issuances=(an_issuance(1), an_issuance(2)))


@pytest.mark.parametrize(
    "over", ["the task was ended", "the grant has expired", "the outcome came too late", "unknown"]
)
async def test_nothing_is_issued_when_the_grant_or_its_task_is_over(
    ledger: DatabaseLedger, database: Place, clock: FakeClock, over: str
) -> None:
    if over != "unknown":
        await ledger.authorize(opening())
    match over:
        case "the task was ended":
            await ledger.end_task(task_id(1), COPILOT, clock.now())
        case "the grant has expired":
            clock.advance(minutes=15)
        case "the outcome came too late":
            clock.advance(seconds=60)
            await ledger.sweep(clock.now())
        case _:
            pass
    before = kinds(database)

    with pytest.raises(Denied) as raised:
        await ledger.issue(grant_id(1), an_issuance(), issued_record())

    assert raised.value.reason is Reason.GRANT_NOT_LIVE
    assert kinds(database) == before
    assert asked(database, "SELECT * FROM issuances") == []


async def test_nothing_is_issued_for_a_task_whose_time_is_over(ledger: DatabaseLedger, clock: FakeClock) -> None:
    short = a_task(end_time=NOON + timedelta(seconds=20))
    await ledger.authorize(an_authorization(new_task=short))
    clock.advance(seconds=20)

    with pytest.raises(Denied) as raised:
        await ledger.issue(grant_id(1), an_issuance(), issued_record())

    assert raised.value.reason is Reason.GRANT_NOT_LIVE


# Failing


def recorded_state(database: Place) -> str:
    """Returns the state that the last failure on record says."""
    query = "SELECT json_extract(body, '$.state') FROM audit_events WHERE kind = 'issuance_failed' ORDER BY sequence"
    return str(asked(database, query)[-1][0])


@pytest.mark.parametrize(("may_exist", "state"), [(True, "REVOKING"), (False, "FAILED")])
async def test_a_failure_says_on_record_where_it_moved_the_grant(
    ledger: DatabaseLedger, database: Place, *, may_exist: bool, state: str
) -> None:
    await ledger.authorize(opening())

    await ledger.fail(grant_id(1), failed_record(state="as its caller thinks"), credentials_may_exist=may_exist)

    assert (state_of(database), recorded_state(database)) == (state, state)


async def test_a_failure_says_on_record_where_somebody_else_moved_the_grant(
    ledger: DatabaseLedger, database: Place
) -> None:
    await ledger.authorize(opening())
    await ledger.end_task(task_id(1), COPILOT, NOON)

    await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False)

    assert (state_of(database), recorded_state(database)) == ("REVOKING", "REVOKING")


async def test_a_grant_whose_credentials_may_exist_is_being_revoked_and_stays_tied(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())

    await ledger.fail(grant_id(1), failed_record(state="REVOKING"), credentials_may_exist=True)

    grant = (await remembered(ledger)).grant
    assert grant is not None
    assert (grant.state, grant.revoke_time, grant.revoke_cause) == (GrantState.REVOKING, NOON, RevokeCause.ORPHANED)


async def test_after_an_outage_the_same_request_is_authorized_again_under_its_one_grant(
    ledger: DatabaseLedger, database: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening(single_use=(ISSUER, "token-1")))
    await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False)
    clock.advance(seconds=30)
    later = a_grant(policy_revision="d" * 64, issue_time=clock.now(), expire_time=clock.now() + timedelta(minutes=15))

    await ledger.authorize(an_authorization(grant=later, single_use=(ISSUER, "token-1")))
    await ledger.issue(grant_id(1), an_issuance(), issued_record())

    grant = (await remembered(ledger)).grant
    assert grant == replace(later, state=GrantState.ISSUED, issuances=(an_issuance(),))
    assert asked(database, "SELECT count(*) FROM grants") == [(1,)]
    task = await ledger.task(task_id(1))
    assert task is not None
    assert task.grants_so_far == 1


@pytest.mark.parametrize(
    "again",
    [
        an_authorization(grant=a_grant(2, 1)),
        an_authorization(content_hash="2" * 64),
        an_authorization(grant=a_grant(1, 2), new_task=a_task(2)),
        opening(),
    ],
    ids=["another grant", "another content", "another task", "its task anew"],
)
async def test_a_request_never_has_a_second_grant(ledger: DatabaseLedger, database: Place, again: object) -> None:
    await ledger.authorize(opening())
    await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False)

    with pytest.raises(Outage) as raised:
        await ledger.authorize(again)  # type: ignore[arg-type]

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    assert asked(database, "SELECT grant_id, state FROM grants") == [(grant_id(1), "FAILED")]


@pytest.mark.parametrize("state", ["AUTHORIZED", "ISSUED", "REVOKING"])
async def test_only_a_failed_grant_is_authorized_again(ledger: DatabaseLedger, database: Place, state: str) -> None:
    await ledger.authorize(opening())
    if state == "ISSUED":
        await ledger.issue(grant_id(1), an_issuance(), issued_record())
    if state == "REVOKING":
        await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=True)

    with pytest.raises(Outage):
        await ledger.authorize(an_authorization())

    assert state_of(database) == state


async def test_a_failure_for_good_repeats_its_refusal(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())
    too_large = Denied(Reason.INTENT_TOO_LARGE, "AWS takes no policy of this size", Refusal(Remedy.SPLIT))

    await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False, refusal=too_large)

    same(await refusal(ledger), too_large)
    with pytest.raises(Outage):
        await ledger.authorize(an_authorization())


@pytest.mark.parametrize("may_exist", [True, False])
async def test_a_failed_repeat_leaves_an_issued_grant_as_it_was(
    ledger: DatabaseLedger, database: Place, *, may_exist: bool
) -> None:
    await ledger.authorize(opening())
    await ledger.issue(grant_id(1), an_issuance(), issued_record())

    await ledger.fail(
        grant_id(1), failed_record(), credentials_may_exist=may_exist, refusal=Denied(Reason.INTERNAL, "x")
    )

    assert state_of(database) == "ISSUED"
    assert recorded_state(database) == "ISSUED"
    assert (await remembered(ledger)).refusal is None
    assert kinds(database)[-1] == "issuance_failed"


# Refusing


def a_permission(*resources: str) -> Permission:
    return Permission(
        actions=(ActionPattern.parse("s3:GetObject"), ActionPattern.parse("S3:List*")),
        resources=tuple(ResourcePattern.parse(resource, authored=True) for resource in resources),
        conditions=(
            Condition("StringLike", "s3:Prefix", ("b/*", "a/*")),
            Condition("Bool", "aws:SecureTransport", ("true",)),
        ),
    )


RICH = Denied(
    Reason.CEILING_EXCEEDED,
    'delete on "prod"\n is not allowed \u2014 narrow it',
    Refusal(
        remedy=Remedy.NARROW,
        failures=(FailedPermission("s3:DeleteObject", "arn:aws:s3:::prod/x", "ceiling", "no statement allows it"),),
        offer=(a_permission("arn:aws:s3:::reports/*", "arn:aws:s3:::home/${aws:PrincipalTag/user}/*"),),
        split=((a_permission("arn:aws:s3:::a/*"),), (a_permission("arn:aws:s3:::b/?"), a_permission("*"))),
    ),
)


async def refusal(ledger: DatabaseLedger) -> Denied:
    kept = (await remembered(ledger)).refusal
    assert kept is not None
    return kept


def same(one: Denied, other: Denied) -> None:
    assert (one.reason, one.message, one.remedy) == (other.reason, other.message, other.remedy)
    assert one.refusal == other.refusal
    assert str(one.refusal) == str(other.refusal)  # the authors' spelling too, which equality does not look at


@pytest.mark.parametrize("denied", [RICH, Denied(Reason.POLICY_DENIED, "no")], ids=["rich", "plain"])
async def test_a_refusal_repeats_itself_exactly(ledger: DatabaseLedger, denied: Denied) -> None:
    await ledger.refuse(a_key(), denied, refused_record(), kept=[DecisionInput("{}")])

    same(await refusal(ledger), denied)
    assert (await remembered(ledger)).content_hash == "1" * 64


async def test_what_is_not_a_decision_is_recorded_and_not_remembered(ledger: DatabaseLedger, database: Place) -> None:
    await ledger.refuse(a_key(), None, refused_record())
    await ledger.refuse(None, None, refused_record())

    assert await ledger.remembered(COPILOT.actor_id, "request-1") is None
    assert kinds(database) == ["request_refused", "request_refused"]


async def test_the_first_refusal_of_a_request_stays(ledger: DatabaseLedger) -> None:
    await ledger.refuse(a_key(), RICH, refused_record())
    await ledger.refuse(a_key(), Denied(Reason.POLICY_DENIED, "no"), refused_record())

    same(await refusal(ledger), RICH)


async def test_a_refusal_does_not_take_the_place_of_a_grant(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())

    await ledger.refuse(a_key(), RICH, refused_record())

    assert await remembered(ledger) == Remembered("1" * 64, a_grant(), None)


async def test_a_second_try_that_is_refused_is_remembered(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())
    await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False)

    await ledger.refuse(a_key(), RICH, refused_record())

    same(await refusal(ledger), RICH)


# Ending a task


async def test_ending_a_task_stops_its_grants_and_says_until_when_credentials_work(
    ledger: DatabaseLedger, database: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening())
    await ledger.issue(grant_id(1), an_issuance(), issued_record())
    await ledger.authorize(an_authorization("request-2", grant=a_grant(2, 1)))
    clock.advance(minutes=1)

    ended = await ledger.end_task(task_id(1), COPILOT, clock.now())

    assert ended.end_time == clock.now()
    assert set(ended.grants) == {NAME, f"tasks/{task_id(1)}/grants/{grant_id(2)}"}
    assert ended.credentials_until == a_grant().expire_time
    assert [state_of(database, 1), state_of(database, 2)] == ["REVOKING", "REVOKING"]
    task = await ledger.task(task_id(1))
    assert task is not None
    assert task.state is TaskState.ENDED


async def test_ending_a_task_again_answers_the_same_and_records_nothing(
    ledger: DatabaseLedger, database: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening())
    await ledger.issue(grant_id(1), an_issuance(), issued_record())
    first = await ledger.end_task(task_id(1), COPILOT, clock.now())
    clock.advance(hours=2)
    await ledger.sweep(clock.now())

    again = await ledger.end_task(task_id(1), COPILOT, clock.now())

    assert again == first
    assert kinds(database).count("task_ended") == 1


async def test_no_credentials_are_out_when_none_were_issued(ledger: DatabaseLedger) -> None:
    await ledger.authorize(opening())

    ended = await ledger.end_task(task_id(1), COPILOT, NOON)

    assert ended.grants == (NAME,)
    assert ended.credentials_until is None


async def test_no_credentials_are_out_when_they_have_expired(ledger: DatabaseLedger, clock: FakeClock) -> None:
    await ledger.authorize(opening())
    await ledger.issue(grant_id(1), an_issuance(), issued_record())
    clock.advance(minutes=15)

    ended = await ledger.end_task(task_id(1), COPILOT, clock.now())

    assert ended.grants == ()
    assert ended.credentials_until is None


async def test_while_the_clock_is_not_settled_no_grant_is_taken_for_over(
    ledger: DatabaseLedger, database: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening())
    await ledger.issue(grant_id(1), an_issuance(), issued_record())
    later = a_grant(2, 1, expire_time=NOON + timedelta(minutes=20))
    await ledger.authorize(an_authorization("request-2", grant=later))
    await ledger.issue(grant_id(2), an_issuance(2), issued_record(2, 1))
    await ledger.authorize(an_authorization("request-3", grant=a_grant(3, 1)))
    stepped = clock.now() + timedelta(days=1)

    ended = await ledger.end_task(task_id(1), COPILOT, stepped, clock_is_settled=False)

    assert set(ended.grants) == {f"tasks/{task_id(1)}/grants/{grant_id(number)}" for number in (1, 2, 3)}
    assert ended.credentials_until == later.expire_time
    assert asked(database, "SELECT DISTINCT state FROM grants") == [("REVOKING",)]


async def test_a_task_is_ended_by_its_own_actor_only(ledger: DatabaseLedger, database: Place) -> None:
    await ledger.authorize(opening())

    for task, actor in ((task_id(1), ANOTHER), (task_id(2), COPILOT)):
        with pytest.raises(Denied) as raised:
            await ledger.end_task(task, actor, NOON)
        assert raised.value.reason is Reason.NOT_FOUND

    assert state_of(database) == "AUTHORIZED"
    assert "task_ended" not in kinds(database)


# Sweeping


async def test_an_orphan_is_revoked_after_a_minute_and_not_before(
    ledger: DatabaseLedger, database: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening())

    clock.advance(seconds=59)
    assert await ledger.sweep(clock.now()) == 0
    clock.advance(seconds=1)
    assert await ledger.sweep(clock.now()) == 1

    assert state_of(database) == "REVOKING"
    assert kinds(database)[-1] == "grant_withheld"


@pytest.mark.parametrize("state", ["ISSUED", "REVOKING"])
async def test_a_grant_expires_at_its_time_guard(
    ledger: DatabaseLedger, database: Place, clock: FakeClock, state: str
) -> None:
    await ledger.authorize(opening())
    if state == "ISSUED":
        await ledger.issue(grant_id(1), an_issuance(), issued_record())
    else:
        await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=True)

    clock.advance(minutes=15, seconds=-1)
    assert await ledger.sweep(clock.now()) == 0
    clock.advance(seconds=1)
    assert await ledger.sweep(clock.now()) == 1
    assert await ledger.sweep(clock.now()) == 0

    assert state_of(database) == "EXPIRED"
    assert kinds(database)[-1] == "grant_expired"


async def test_an_old_orphan_goes_through_revoking_to_expired_in_one_sweep(
    ledger: DatabaseLedger, database: Place, clock: FakeClock
) -> None:
    await ledger.authorize(opening())
    clock.advance(hours=1)

    assert await ledger.sweep(clock.now()) == 2

    assert state_of(database) == "EXPIRED"
    assert kinds(database)[-2:] == ["grant_withheld", "grant_expired"]


async def test_what_is_over_stays_as_it_is(ledger: DatabaseLedger, database: Place, clock: FakeClock) -> None:
    await ledger.authorize(opening())
    await ledger.fail(grant_id(1), failed_record(), credentials_may_exist=False)
    clock.advance(days=1)

    assert await ledger.sweep(clock.now()) == 0

    assert state_of(database) == "FAILED"


async def test_a_sweep_moves_at_most_500(ledger: DatabaseLedger, database: Place, clock: FakeClock) -> None:
    await asyncio.gather(*(ledger.authorize(opening(number)) for number in range(1, 503)))
    clock.advance(seconds=60)

    moved = [await ledger.sweep(clock.now()) for _ in range(3)]

    assert moved == [500, 2, 0]
    assert kinds(database).count("grant_withheld") == 502
    assert isinstance(verify(database), ChainIntact)


# Races


async def test_one_request_raced_fifty_ways_has_one_grant(ledger: DatabaseLedger, database: Place) -> None:
    racing = [
        an_authorization("request-1", grant=a_grant(number, number), new_task=a_task(number)) for number in range(1, 51)
    ]

    outcomes = await asyncio.gather(*map(ledger.authorize, racing), return_exceptions=True)

    assert Counter(type(outcome) for outcome in outcomes) == {type(None): 1, RequestKnown: 49}
    assert asked(database, "SELECT count(*) FROM grants UNION ALL SELECT count(*) FROM tasks") == [(1,), (1,)]
    assert kinds(database) == ["task_started", "grant_authorized"]


async def test_one_single_use_token_raced_by_many_tasks_has_one(ledger: DatabaseLedger, database: Place) -> None:
    racing = [opening(number, single_use=(ISSUER, "token-1")) for number in range(1, 21)]

    outcomes = await asyncio.gather(*map(ledger.authorize, racing), return_exceptions=True)

    assert Counter(type(outcome) for outcome in outcomes) == {type(None): 1, Denied: 19}
    assert asked(database, "SELECT count(*) FROM tasks") == [(1,)]


async def test_two_gateways_on_one_file_keep_one_chain_and_one_grant_for_a_request(
    database: Place, clock: FakeClock
) -> None:
    async with open_ledger(database, clock) as one, open_ledger(database, clock) as other:
        racing = [
            ledger.authorize(an_authorization(f"r-{request}", grant=a_grant(number), new_task=None))
            for request in range(20)
            for ledger, number in ((one, 100 + request), (other, 200 + request))
        ]
        await one.authorize(opening())

        outcomes = await asyncio.gather(*racing, return_exceptions=True)

    assert Counter(type(outcome) for outcome in outcomes) == {type(None): 20, RequestKnown: 20}
    assert asked(database, "SELECT count(*) FROM grants") == [(21,)]
    assert isinstance(verify(database), ChainIntact)


async def test_nothing_is_issued_after_its_task_has_ended_whoever_wins(ledger: DatabaseLedger, database: Place) -> None:
    numbers = range(1, 41)
    await asyncio.gather(*(ledger.authorize(opening(number)) for number in numbers))
    racing = [(number, step) for number in numbers for step in ("issue", "end", "issue")]
    random.Random(7).shuffle(racing)  # noqa: S311 - an order, not a secret

    outcomes = await asyncio.gather(
        *(
            ledger.issue(grant_id(number), an_issuance(number), issued_record(number))
            if step == "issue"
            else ledger.end_task(task_id(number), COPILOT, NOON)
            for number, step in racing
        ),
        return_exceptions=True,
    )

    issued = sum(1 for (_, step), outcome in zip(racing, outcomes, strict=True) if step == "issue" and outcome is None)
    ended = dict(asked(database, "SELECT task_id, sequence FROM audit_events WHERE kind = 'task_ended'"))
    records = asked(database, "SELECT task_id, sequence FROM audit_events WHERE kind = 'credentials_issued'")
    assert 0 < issued < 80
    assert len(ended) == 40
    assert len(records) == issued
    assert all(sequence < ended[task] for task, sequence in records)
    assert asked(database, "SELECT DISTINCT state FROM grants") == [("REVOKING",)]
