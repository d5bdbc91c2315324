"""What lies below a grant or a task stops with it, in the same transaction, and AWS is told of it by name."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    COPILOT,
    ISSUER,
    a_grant,
    a_task,
    an_authorization,
    an_issuance,
    asked,
    grant_id,
    issued_record,
    kinds,
    state_of,
    task_id,
)

from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.lifecycle import endings
from remit_server.adapters.database.lifecycle.leases import DatabaseLeases
from remit_server.adapters.database.lifecycle.task_news import DatabaseTaskNews
from remit_server.adapters.database.revoking.denies import DatabaseDenies
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.application.lifecycle.ports import Signal
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.identity import Admitted
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.session_names import revision_part, subject_part
from remit_server.domain.task_event import TaskEventKind

ACCOUNT, OLD, NEW = "111122223333", "b" * 64, "e" * 64
SUBJECT = subject_part(ISSUER, "alice")
FIXER, SCRIBE = "spiffe://example/fixer", "spiffe://example/scribe"
UNTIL = NOON + timedelta(minutes=15)
PARTS = {COPILOT.actor_id: "a" * 26, FIXER: "f" * 26, SCRIBE: "s" * 26}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(place: Place, clock: FakeClock) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(place, clock, denying=True) as opened:
        yield opened


async def issue(
    ledger: DatabaseLedger,
    number: int,
    *,
    task: int | None = None,
    below: int | None = None,
    under: int | None = None,
    actor: str = COPILOT.actor_id,
    revision: str = OLD,
    until: datetime = UNTIL,
) -> None:
    """Issues a grant of this number within grant `below`, in task `task`, which it opens under task `under`."""
    await authorize(ledger, number, task=task, below=below, under=under, actor=actor, revision=revision, until=until)
    opened = NOON - timedelta(minutes=1)
    issuance = replace(an_issuance(number), policy_revision=revision, issue_time=opened, expire_time=until)
    await ledger.issue(grant_id(number), issuance, issued_record(number, task))


async def authorize(
    ledger: DatabaseLedger,
    number: int,
    *,
    task: int | None = None,
    below: int | None = None,
    under: int | None = None,
    actor: str = COPILOT.actor_id,
    revision: str = OLD,
    until: datetime = UNTIL,
    proven_within: str = "a" * 64,
) -> None:
    place = task or number
    grant = a_grant(
        number,
        place,
        actor_id=actor,
        policy_revision=revision,
        expire_time=until,
        parent_grant_id=None if below is None else grant_id(below),
        tags=(
            ("remit:grant", f"{SUBJECT}.{task_id(place)}.{grant_id(number)}"),
            ("remit:by", f"{PARTS[actor]}.{revision_part(revision)}"),
        ),
    )
    above = {} if under is None else {"parent_task_id": task_id(under), "depth": 1}
    new_task = a_task(place, actor_id=actor, **above) if task is None else None
    asked_for = an_authorization(f"request-{number}", grant=grant, new_task=new_task)
    await ledger.authorize(replace(asked_for, proven_within="" if below is None else proven_within))


async def a_fleet(ledger: DatabaseLedger) -> None:
    """A planner's grant (1), one narrowed out of it (2), a fixer's within it (3), a scribe's in it (4); another (5)."""
    await issue(ledger, 1)
    await issue(ledger, 2, task=1, below=1)
    await issue(ledger, 3, below=1, under=1, actor=FIXER, revision=NEW)
    await issue(ledger, 4, below=3, under=3, actor=SCRIBE, revision=NEW)
    await issue(ledger, 5, actor=SCRIBE, revision=NEW)


def order(target: Target, cause: RevokeCause = RevokeCause.REQUESTED) -> RevokeOrder:
    return RevokeOrder("r" * 26, target, cause, by="acme:sam", why="a drill")


def states(place: Place, *numbers: int) -> list[str]:
    return [state_of(place, number) for number in numbers]


def task_states(place: Place, *numbers: int) -> list[str]:
    return [str(asked(place, "SELECT state FROM tasks WHERE task_id = ?", task_id(one))[0][0]) for one in numbers]


def name(number: int, task: int | None = None) -> str:
    return f"tasks/{task_id(task or number)}/grants/{grant_id(number)}"


async def patterns(ledger: DatabaseLedger) -> set[tuple[str, bool]]:
    """What AWS is to be told: the patterns, and whether it has to be."""
    return {(one.pattern, one.required) for one in await DatabaseDenies(ledger.store).wanted(ACCOUNT, NOON)}


def of(number: int, task: int | None = None) -> str:
    return f"{SUBJECT}.{task_id(task or number)}.{grant_id(number)}"


@pytest.mark.parametrize(
    ("target", "stopped", "told"),
    [
        (Target(TargetKind.GRANT, grant_id(1)), [1, 2, 3, 4], {of(1), of(2, 1), of(3), of(4)}),
        (Target(TargetKind.GRANT, grant_id(2)), [2], {of(2, 1)}),
        (Target(TargetKind.GRANT, grant_id(3)), [3, 4], {of(3), of(4)}),
        (
            Target(TargetKind.TASK, task_id(1)),
            [1, 2, 3, 4],
            {f"{SUBJECT}.{task_id(number)}.*" for number in (1, 3, 4)},
        ),
        (Target(TargetKind.SUBJECT, "alice", ISSUER), [1, 2, 3, 4, 5], {f"{SUBJECT}.*"}),
        (
            Target(TargetKind.ACTOR, COPILOT.actor_id),
            [1, 2, 3, 4],
            {f"{'a' * 26}.*", f"{SUBJECT}.{task_id(3)}.*", f"{SUBJECT}.{task_id(4)}.*"},
        ),
        (Target(TargetKind.ACTOR, FIXER), [3, 4], {f"{'f' * 26}.*", f"{SUBJECT}.{task_id(4)}.*"}),
        (Target(TargetKind.REVISION, OLD), [1, 2, 3, 4], {f"*.{revision_part(OLD)}", of(3), of(4)}),
    ],
    ids=["grant", "narrowed", "grant-below", "task", "subject", "actor", "actor-below", "revision"],
)
async def test_what_lies_below_stops_with_it_and_aws_has_to_be_told(
    target: Target, stopped: list[int], told: set[str], ledger: DatabaseLedger, place: Place
) -> None:
    await a_fleet(ledger)

    revoked = await DatabaseRevocations(ledger.store).revoke(order(target))

    assert states(place, 1, 2, 3, 4, 5) == ["REVOKING" if number in stopped else "ISSUED" for number in range(1, 6)]
    assert (revoked.grant_count, revoked.credentials_until, revoked.denying) == (len(stopped), UNTIL, True)
    assert await patterns(ledger) == {(pattern, True) for pattern in told}


async def test_the_end_of_a_task_ends_those_under_it_and_says_what_stopped(
    ledger: DatabaseLedger, place: Place
) -> None:
    await a_fleet(ledger)

    first = await ledger.end_task(task_id(1), COPILOT, NOON)
    again = await ledger.end_task(task_id(1), COPILOT, NOON + timedelta(minutes=1))

    assert first == again
    assert set(first.grants) == {name(1), name(2, 1), name(3), name(4)}
    assert (task_states(place, 1, 3, 4, 5), first.denying) == (["ENDED", "ENDED", "ENDED", "LIVE"], True)
    assert await patterns(ledger) == {(f"{SUBJECT}.{task_id(number)}.*", False) for number in (1, 3, 4)}
    assert kinds(place).count("task_ended") == 3


async def test_ending_a_task_below_leaves_what_is_above_alone(ledger: DatabaseLedger, place: Place) -> None:
    await a_fleet(ledger)

    await DatabaseRevocations(ledger.store).revoke(order(Target(TargetKind.TASK, task_id(3))))

    assert states(place, 1, 2, 3, 4) == ["ISSUED", "ISSUED", "REVOKING", "REVOKING"]
    assert task_states(place, 1, 3, 4) == ["LIVE", "ENDED", "ENDED"]


async def test_revoking_an_agent_ends_what_it_handed_on_and_not_its_own_task(
    ledger: DatabaseLedger, place: Place
) -> None:
    await a_fleet(ledger)

    await DatabaseRevocations(ledger.store).revoke(order(Target(TargetKind.ACTOR, COPILOT.actor_id)))

    assert task_states(place, 1, 3, 4, 5) == ["LIVE", "ENDED", "ENDED", "LIVE"]


async def test_a_lost_lease_takes_the_tasks_under_it_along(
    ledger: DatabaseLedger, place: Place, clock: FakeClock
) -> None:
    leases = DatabaseLeases(ledger.store)
    await a_fleet(ledger)
    await leases.sweep(clock.now())
    await leases.take(Admitted(COPILOT, "peer"), task_id(1), timedelta(seconds=30))
    for _ in range(5):
        clock.advance(seconds=10)
        await leases.sweep(clock.now())

    assert task_states(place, 1, 3, 4, 5) == ["ENDED", "ENDED", "ENDED", "LIVE"]
    assert states(place, 1, 2, 3, 4, 5) == ["REVOKING"] * 4 + ["ISSUED"]


async def test_an_urgent_revoke_has_aws_told_of_what_a_quiet_end_had_left_to_time(
    ledger: DatabaseLedger, place: Place
) -> None:
    soon = NOON + timedelta(seconds=100)
    await issue(ledger, 1, until=soon)
    await issue(ledger, 3, below=1, under=1, actor=FIXER, until=soon)
    quiet = await ledger.end_task(task_id(1), COPILOT, NOON)
    untold = await patterns(ledger)

    await DatabaseRevocations(ledger.store).revoke(order(Target(TargetKind.TASK, task_id(1))))
    urgent = await patterns(ledger)
    await DatabaseRevocations(ledger.store).revoke(
        replace(order(Target(TargetKind.TASK, task_id(1))), revocation_id="q" * 26)
    )

    assert (quiet.denying, untold) == (False, set())
    assert urgent == {(f"{SUBJECT}.{task_id(1)}.*", True), (of(3), True)}
    assert await patterns(ledger) == urgent
    assert len(asked(place, "SELECT number FROM denies WHERE pattern = ?", of(3))) == 1


async def test_what_nobody_was_given_takes_what_was_given_within_it_along(ledger: DatabaseLedger, place: Place) -> None:
    await a_fleet(ledger)

    await ledger.store.commit(lambda batch: endings.withhold(batch, grant_id(1), an_issuance(1), denying=True))

    assert states(place, 1, 2, 3, 4, 5) == ["REVOKING"] * 4 + ["ISSUED"]
    assert {one for one in await patterns(ledger) if one[0] != of(1)} == {
        (of(2, 1), True),
        (of(3), True),
        (of(4), True),
    }


async def test_each_watcher_hears_of_its_own_task(ledger: DatabaseLedger, place: Place) -> None:
    await a_fleet(ledger)
    await DatabaseRevocations(ledger.store).revoke(order(Target(TargetKind.GRANT, grant_id(1))))
    heard = [
        Signal(sequence, kind, task, NOON)
        for sequence, kind, task in asked(place, "SELECT sequence, kind, task_id FROM signals ORDER BY sequence")
        if kind == "grants_revoked"
    ]

    told = await DatabaseTaskNews(ledger.store).told(heard, [task_id(1), task_id(3), task_id(5)])

    assert sorted((task, event.kind, event.grants) for task, event in told) == sorted(
        [
            (task_id(1), TaskEventKind.REVOKED, (name(1),)),
            (task_id(1), TaskEventKind.REVOKED, (name(2, 1),)),
            (task_id(3), TaskEventKind.REVOKED, (name(3),)),
        ]
    )


async def test_a_grant_is_revoked_only_when_aws_refuses_what_lies_within_it_under_its_own_revoke(
    ledger: DatabaseLedger, place: Place
) -> None:
    await a_fleet(ledger)
    await DatabaseRevocations(ledger.store).revoke(order(Target(TargetKind.GRANT, grant_id(1))))
    outbox = DatabaseDenies(ledger.store)
    wanted = await outbox.wanted(ACCOUNT, NOON)
    await outbox.hold(ACCOUNT, "me", 60)

    await outbox.observed(ACCOUNT, "me", [one.number for one in wanted if one.pattern == of(1)], NOON)
    halfway = states(place, 1, 3, 4)
    await outbox.observed(ACCOUNT, "me", [one.number for one in wanted if one.pattern == of(3)], NOON)
    almost = states(place, 1, 3, 4)
    await outbox.observed(ACCOUNT, "me", [one.number for one in wanted], NOON)

    assert (halfway, almost) == (["REVOKED", "REVOKING", "REVOKING"],) * 2
    assert states(place, 1, 2, 3, 4) == ["REVOKED"] * 4


async def test_nothing_is_authorized_within_a_grant_that_is_over(ledger: DatabaseLedger, place: Place) -> None:
    await issue(ledger, 1)
    await issue(ledger, 5, task=1)
    await DatabaseRevocations(ledger.store).revoke(order(Target(TargetKind.GRANT, grant_id(1))))

    with pytest.raises(Denied) as raised:
        await authorize(ledger, 3, below=1, under=1, actor=FIXER)

    assert raised.value.reason is Reason.GRANT_NOT_LIVE
    assert asked(place, "SELECT count(*) FROM grants WHERE grant_id = ?", grant_id(3))[0][0] == 0


async def test_what_was_proven_within_a_policy_that_was_renewed_since_is_asked_again(ledger: DatabaseLedger) -> None:
    await issue(ledger, 1)

    with pytest.raises(Outage) as raised:
        await authorize(ledger, 3, below=1, under=1, actor=FIXER, proven_within="9" * 64)

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE


@pytest.mark.parametrize("target", [Target(TargetKind.GRANT, grant_id(1)), Target(TargetKind.TASK, task_id(1))])
async def test_credentials_are_withheld_when_what_is_above_goes_while_sts_is_asked(
    target: Target, ledger: DatabaseLedger, place: Place
) -> None:
    await issue(ledger, 1)
    await authorize(ledger, 3, below=1, under=1, actor=FIXER)

    await DatabaseRevocations(ledger.store).revoke(order(target))

    with pytest.raises(Denied) as raised:
        await ledger.issue(grant_id(3), an_issuance(3), issued_record(3))
    assert (raised.value.reason, state_of(place, 3)) == (Reason.GRANT_NOT_LIVE, "REVOKING")


async def test_a_task_keeps_what_it_stands_under(ledger: DatabaseLedger) -> None:
    await issue(ledger, 1)
    await issue(ledger, 3, below=1, under=1, actor=FIXER)

    task: Any = await ledger.task(task_id(3))

    assert (task.parent_task_id, task.depth) == (task_id(1), 1)
