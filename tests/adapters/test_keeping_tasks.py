"""Renewals, leases and signals in the ledger, on both databases: what each transaction writes, and what it does not."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    ANOTHER,
    COPILOT,
    WHO,
    a_basis,
    a_presented,
    an_issuance,
    asked,
    grant_id,
    issued_record,
    kinds,
    opening,
    state_of,
    task_id,
)

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.lifecycle.leases import DatabaseLeases
from remit_server.adapters.database.lifecycle.renewals import DatabaseRenewals
from remit_server.adapters.database.trail.signal_log import DatabaseSignals
from remit_server.application.lifecycle.ports import RenewalAuthorization
from remit_server.domain.decision import DecisionInput
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Actor, Admitted
from remit_server.domain.lifecycle_records import CredentialsRenewed, RenewalAuthorized, RenewalFailed

GRACE = timedelta(seconds=60)
REVISION = "e" * 64


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(place: Place, clock: FakeClock) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(place, clock) as opened:
        yield opened


@pytest.fixture
def renewals(ledger: DatabaseLedger) -> DatabaseRenewals:
    return DatabaseRenewals(ledger.store)


@pytest.fixture
def leases(ledger: DatabaseLedger) -> DatabaseLeases:
    return DatabaseLeases(ledger.store)


async def issue(ledger: DatabaseLedger, number: int = 1) -> Grant:
    """Issues the grant of this number in a task of its own."""
    await ledger.authorize(opening(number))
    await ledger.issue(grant_id(number), an_issuance(number), issued_record(number))
    grant = await DatabaseRenewals(ledger.store).grant(grant_id(number))
    assert grant is not None
    return grant


def a_renewal(before: Grant, **changes: Any) -> RenewalAuthorization:
    """Authorizes a renewal to half past noon, under another revision and session policy."""
    until = NOON + timedelta(minutes=30)
    after = replace(
        before, session_policy='{"Statement":[1]}', session_policy_digest="9" * 64, policy_revision=REVISION
    )
    after = replace(after, expire_time=until, **changes)
    question = DecisionInput('{"asked":"again"}')
    record = RenewalAuthorized(
        who=WHO,
        task_id=after.task_id,
        grant_id=after.grant_id,
        role_arn=after.role_arn,
        entitlements=after.entitlements,
        session_policy=after.session_policy,
        session_policy_digest=after.session_policy_digest,
        covers=(),
        unguarded=(),
        ceiling_digest=after.ceiling_digest,
        input_digest=question.digest,
        policy_revision=after.policy_revision,
        tags=after.tags,
        expire_time=until,
        offline=False,
        narrowed=False,
    )
    return RenewalAuthorization(a_presented(before), before, after, until, None, a_basis(question), record)


def renewed_record(grant: Grant) -> CredentialsRenewed:
    return CredentialsRenewed(
        WHO,
        grant.task_id,
        grant.grant_id,
        "ASIA2",
        "9" * 64,
        REVISION,
        NOON + timedelta(minutes=30),
        None,
        narrowed=False,
    )


def by(actor: Actor = COPILOT) -> Admitted:
    return Admitted(actor, "192.0.2.1")


# Renewals


async def test_a_renewed_grant_is_what_was_authorized(ledger: DatabaseLedger, renewals: DatabaseRenewals) -> None:
    renewal = a_renewal(await issue(ledger))
    issuance = an_issuance(2)

    time = await renewals.authorize(renewal)
    await renewals.renew(renewal, time, issuance, renewed_record(renewal.after))

    kept = await renewals.grant(grant_id(1))
    assert kept == replace(renewal.after, issuances=(*renewal.before.issuances, issuance))
    assert await renewals.kept_question(grant_id(1)) == '{"asked":"again"}'


async def test_until_it_is_renewed_only_its_time_is_new(
    ledger: DatabaseLedger, renewals: DatabaseRenewals, place: Place
) -> None:
    renewal = a_renewal(await issue(ledger))

    await renewals.authorize(renewal)

    kept = await renewals.grant(grant_id(1))
    assert kept == replace(renewal.before, expire_time=renewal.until)
    assert await renewals.kept_question(grant_id(1)) == '{"asked":"request-1"}'
    assert kinds(place)[-1] == "renewal_authorized"


async def test_a_grant_has_one_renewal_at_a_time(ledger: DatabaseLedger, renewals: DatabaseRenewals) -> None:
    renewal = a_renewal(await issue(ledger))
    await renewals.authorize(renewal)

    with pytest.raises(Outage) as refused:
        await renewals.authorize(renewal)

    assert refused.value.retry_after is not None


async def test_what_was_decided_about_an_earlier_policy_is_not_authorized(
    ledger: DatabaseLedger, renewals: DatabaseRenewals
) -> None:
    renewal = a_renewal(await issue(ledger))
    time = await renewals.authorize(renewal)
    await renewals.renew(renewal, time, an_issuance(2), renewed_record(renewal.after))

    with pytest.raises(Outage):
        await renewals.authorize(renewal)


async def test_a_grant_that_ended_is_neither_authorized_nor_renewed(
    ledger: DatabaseLedger, renewals: DatabaseRenewals, place: Place
) -> None:
    renewal = a_renewal(await issue(ledger))
    time = await renewals.authorize(renewal)
    await ledger.end_task(task_id(1), COPILOT, NOON)

    with pytest.raises(Denied) as late:
        await renewals.renew(renewal, time, an_issuance(2), renewed_record(renewal.after))
    with pytest.raises(Denied) as again:
        await renewals.authorize(renewal)

    assert (late.value.reason, again.value.reason) == (Reason.GRANT_NOT_LIVE, Reason.GRANT_NOT_LIVE)
    assert state_of(place, 1) == "REVOKING"
    assert asked(place, "SELECT count(*) FROM issuances") == [(1,)]


@pytest.mark.parametrize("may_exist", [True, False])
async def test_a_failed_renewal_gives_its_time_back_only_where_aws_made_nothing(
    may_exist: bool,
    ledger: DatabaseLedger,
    renewals: DatabaseRenewals,
) -> None:
    renewal = a_renewal(await issue(ledger))
    time = await renewals.authorize(renewal)

    await renewals.fail(renewal, time, RenewalFailed(task_id(1), grant_id(1), "STS_UNAVAILABLE", may_exist))

    kept = await renewals.grant(grant_id(1))
    assert kept == replace(renewal.before, expire_time=renewal.until if may_exist else renewal.before.expire_time)
    assert await renewals.authorize(renewal) is not None


async def test_a_renewal_without_an_outcome_is_settled_after_a_minute_and_then_loses(
    ledger: DatabaseLedger, renewals: DatabaseRenewals, clock: FakeClock, place: Place
) -> None:
    renewal = a_renewal(await issue(ledger))
    time = await renewals.authorize(renewal)
    clock.advance(seconds=60)

    settled = await renewals.sweep(clock.now())

    with pytest.raises(Denied):
        await renewals.renew(renewal, time, an_issuance(2), renewed_record(renewal.after))
    assert settled == 1
    assert kinds(place)[-1] == "renewal_failed"
    assert state_of(place, 1) == "ISSUED"


async def test_a_grant_that_is_not_there_is_none(renewals: DatabaseRenewals) -> None:
    assert await renewals.grant(grant_id(7)) is None
    assert await renewals.kept_question(grant_id(7)) is None


# Leases


async def test_a_lease_is_taken_extended_and_lost(
    ledger: DatabaseLedger, leases: DatabaseLeases, clock: FakeClock, place: Place
) -> None:
    await issue(ledger, 1)
    await issue(ledger, 2)
    await leases.sweep(clock.now())
    await leases.take(by(), task_id(1), GRACE)
    await leases.take(by(), task_id(2), GRACE)
    for _ in range(12):
        clock.advance(seconds=5)
        await leases.sweep(clock.now())

    until = await leases.extend([task_id(1), task_id(7)])
    clock.advance(seconds=5)
    lost = await leases.sweep(clock.now())

    assert until == {task_id(1): NOON + timedelta(seconds=120)}
    assert lost == 1
    assert asked(place, "SELECT task_id, state FROM tasks WHERE lease_until IS NULL") == [(task_id(2), "ENDED")]
    assert (state_of(place, 1), state_of(place, 2)) == ("ISSUED", "REVOKING")
    assert kinds(place)[-1] == "task_ended"


async def test_where_nobody_was_seen_for_long_every_lease_has_its_grace_again(
    ledger: DatabaseLedger, leases: DatabaseLeases, clock: FakeClock, place: Place
) -> None:
    await issue(ledger, 1)
    await issue(ledger, 2)
    await leases.sweep(clock.now())
    await leases.take(by(), task_id(1), GRACE)
    await leases.take(by(), task_id(2), GRACE * 2)
    clock.advance(days=1)

    lost = await leases.sweep(clock.now())

    assert lost == 0
    ends = {row[0]: row[1] for row in asked(place, "SELECT task_id, lease_until FROM tasks")}
    assert ends == {task_id(n): (clock.now() + GRACE * n).isoformat(timespec="microseconds") for n in (1, 2)}
    assert kinds(place)[-1] == "leases_extended"


async def test_nobody_takes_the_lease_of_anothers_task(ledger: DatabaseLedger, leases: DatabaseLeases) -> None:
    await issue(ledger)

    with pytest.raises(Denied) as refused:
        await leases.take(by(ANOTHER), task_id(1), GRACE)

    assert refused.value.reason is Reason.NOT_FOUND


async def test_a_task_that_is_over_takes_no_lease(ledger: DatabaseLedger, leases: DatabaseLeases) -> None:
    await issue(ledger)
    await ledger.end_task(task_id(1), COPILOT, NOON)

    leased = await leases.take(by(), task_id(1), GRACE)

    assert (leased.grace, leased.lease_until) == (None, None)
    assert await leases.extend([task_id(1)]) == {}


# Signals


async def test_signals_come_in_the_order_of_the_chain_and_are_forgotten_after_an_hour(
    ledger: DatabaseLedger, clock: FakeClock
) -> None:
    signals = DatabaseSignals(ledger.store)
    before = await signals.latest()
    await issue(ledger, 1)
    await ledger.end_task(task_id(1), COPILOT, NOON)

    heard = await signals.since(before)
    later = await signals.since(heard[0].sequence)
    latest = await signals.latest()
    clock.advance(minutes=61)
    pruned = await signals.prune(clock.now())

    assert before == 0
    assert [(one.kind, one.task_id) for one in heard] == [
        ("credentials_issued", task_id(1)),
        ("task_ended", task_id(1)),
    ]
    assert later == heard[1:]
    assert latest == heard[-1].sequence
    assert (pruned, await signals.since(0)) == (2, [])
