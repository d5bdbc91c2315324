"""Handing a task on to another agent: who may, to whom, how deep, how long, and what is on record of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import NOON, World, given, world

from remit_server.adapters.database.lifecycle.delegating import MOST_UNDER
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.application.delegating.delegate_task import DelegateRequest
from remit_server.domain.errors import InvalidRequest, Reason, RemitError
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.task import Task, TaskState, opaque_id


@pytest.fixture
async def fleet(tmp_path: Any, place: Place) -> AsyncIterator[World]:
    """A planner, which is the copilot, and the agents it may hand work to."""
    async with world(tmp_path, place=place) as made:
        for name in ("fixer", "scribe", "scout"):
            made.agent(name)
        yield made


async def started(fleet: World) -> str:
    """Starts a task of the planner's."""
    return given(await fleet.issue(fleet.request())).grant.task_id


async def refusal(fleet: World, request: DelegateRequest) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await fleet.delegate(request)
    return raised.value


async def records(fleet: World, kind: str) -> list[dict[str, Any]]:
    return [json.loads(event.body_text) for event in await fleet.events() if event.kind == kind]


async def test_a_task_under_a_task_is_the_other_agents_and_the_same_users(fleet: World) -> None:
    above = await started(fleet)

    task = await fleet.delegate(fleet.delegation(above, "fixer"))

    assert await fleet.ledger.task(task.task_id) == task
    assert task == Task(
        task_id=task.task_id,
        subject_issuer="https://idp.example",
        subject_id="alice",
        actor_id="corp:fixer",
        purpose="read the reports",
        labels={},
        state=TaskState.LIVE,
        start_time=NOON,
        end_time=NOON + timedelta(hours=8),
        parent_task_id=above,  # type: ignore[arg-type] # an id
        depth=1,
    )


async def test_it_is_on_record_who_handed_what_on_to_whom(fleet: World) -> None:
    above = await started(fleet)

    task = await fleet.delegate(fleet.delegation(above, "fixer", max_duration=timedelta(minutes=5)))

    (record,) = await records(fleet, "task_delegated")
    assert record.pop("who")["actor_id"] == "corp:copilot"
    assert record.pop("request_id")
    assert record == {
        "task_id": task.task_id,
        "parent_task_id": above,
        "agent": "corp:fixer",
        "purpose": "read the reports",
        "end_time": "2026-11-23T12:05:00.000000+00:00",
        "depth": 1,
    }


@pytest.mark.parametrize(("wanted", "lasts"), [(None, 8 * 60), (5, 5), (7 * 24 * 60, 8 * 60)])
async def test_it_ends_with_the_task_above_at_the_latest(fleet: World, wanted: int | None, lasts: int) -> None:
    above = await started(fleet)
    longest = None if wanted is None else timedelta(minutes=wanted)

    task = await fleet.delegate(fleet.delegation(above, "fixer", max_duration=longest))

    assert task.end_time - task.start_time == timedelta(minutes=lasts)


async def test_a_repeat_opens_no_second_task(fleet: World) -> None:
    above = await started(fleet)
    request = fleet.delegation(above, "fixer")

    first = await fleet.delegate(request)
    fleet.clock.advance(seconds=30)
    again = await asyncio.gather(*(fleet.delegate(request) for _ in range(10)))

    assert {task.task_id for task in again} == {first.task_id}
    assert len(await records(fleet, "task_delegated")) == 1


async def test_a_request_id_stands_for_one_request(fleet: World) -> None:
    above = await started(fleet)
    request = fleet.delegation(above, "fixer")
    await fleet.delegate(request)

    refused = await refusal(fleet, replace(request, agent="corp:scribe"))

    assert isinstance(refused, InvalidRequest)
    assert refused.violations[0].path == "request_id"


@pytest.mark.parametrize("whose", ["nobody", "another"])
async def test_an_agent_hands_on_its_own_tasks_alone(fleet: World, whose: str) -> None:
    above = opaque_id(b"n" * 17) if whose == "nobody" else await started(fleet)

    refused = await refusal(fleet, fleet.delegation(above, "scribe", agent="fixer"))

    assert refused.reason is Reason.NOT_FOUND
    (record,) = await records(fleet, "request_refused")
    assert (record["method"], record["reason"], record["task_id"]) == ("DelegateTask", "NOT_FOUND", above)


async def test_what_was_handed_on_may_be_handed_on_until_it_is_too_deep(fleet: World) -> None:
    above = await started(fleet)
    first = await fleet.delegate(fleet.delegation(above, "fixer"))
    second = await fleet.delegate(fleet.delegation(first.task_id, "scribe", agent="fixer"))
    third = await fleet.delegate(fleet.delegation(second.task_id, "scout", agent="scribe"))

    refused = await refusal(fleet, fleet.delegation(third.task_id, "fixer", agent="scout"))

    assert (first.depth, second.depth, third.depth) == (1, 2, 3)
    assert (refused.reason, "at most 3 deep" in refused.message) == (Reason.DELEGATION_TOO_DEEP, True)


async def test_where_the_depth_is_zero_nobody_hands_anything_on(tmp_path: Any) -> None:
    async with world(tmp_path, deepest=0) as fleet:
        fleet.agent("fixer")
        above = await started(fleet)

        refused = await refusal(fleet, fleet.delegation(above, "fixer"))

    assert refused.reason is Reason.DELEGATION_TOO_DEEP


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"agent": "corp:copilot"}, "actor"),
        ({"agent": "corp:fixr"}, "actor"),
        ({"max_duration": timedelta(seconds=14)}, "max_duration"),
    ],
)
async def test_a_name_that_no_other_agent_has_and_a_life_too_short_are_told(
    fleet: World, change: dict[str, Any], path: str
) -> None:
    above = await started(fleet)

    refused = await refusal(fleet, replace(fleet.delegation(above, "fixer"), **change))

    assert isinstance(refused, InvalidRequest)
    assert [violation.path for violation in refused.violations] == [path]
    assert (await records(fleet, "request_refused"))[0]["reason"] == "INVALID_REQUEST"


async def test_nothing_is_handed_on_of_a_task_that_is_over(fleet: World) -> None:
    above = await started(fleet)
    await fleet.end(fleet.admitted(), above)  # type: ignore[arg-type] # an id

    refused = await refusal(fleet, fleet.delegation(above, "fixer"))

    assert refused.reason is Reason.GRANT_NOT_LIVE


async def test_nothing_is_handed_on_of_a_task_that_is_nearly_over(fleet: World) -> None:
    above = await started(fleet)
    fleet.clock.advance(hours=8, seconds=-14)

    refused = await refusal(fleet, fleet.delegation(above, "fixer"))

    assert (refused.reason, "15 s" in refused.message) == (Reason.GRANT_NOT_LIVE, True)


@pytest.mark.parametrize("block", [True, False])
async def test_an_agent_that_was_revoked_hands_nothing_on(fleet: World, block: bool) -> None:
    above = await started(fleet)
    target = Target(TargetKind.ACTOR, "corp:copilot")
    order = RevokeOrder("r" * 26, target, RevokeCause.REQUESTED, by="corp:sam", why="a drill", block=block)
    await DatabaseRevocations(fleet.ledger.store).revoke(order)

    refused = await refusal(fleet, fleet.delegation(above, "fixer"))

    assert refused.reason is Reason.ACTOR_REJECTED


async def test_nothing_is_handed_on_for_a_user_who_is_blocked(fleet: World) -> None:
    above = await started(fleet)
    target = Target(TargetKind.SUBJECT, "alice", "https://idp.example")
    order = RevokeOrder("r" * 26, target, RevokeCause.REQUESTED, by="corp:sam", why="a drill", block=True)
    await DatabaseRevocations(fleet.ledger.store).revoke(order)

    refused = await refusal(fleet, fleet.delegation(above, "fixer"))

    assert refused.reason is Reason.SUBJECT_TOKEN_REJECTED


async def test_so_many_tasks_live_under_one_first_task_and_no_more(fleet: World) -> None:
    above = await started(fleet)
    first = await fleet.delegate(fleet.delegation(above, "fixer"))
    for _ in range(MOST_UNDER // 2 - 1):
        await fleet.delegate(fleet.delegation(above, "scribe"))
    for _ in range(MOST_UNDER // 2):
        await fleet.delegate(fleet.delegation(first.task_id, "scribe", agent="fixer"))

    above_full = await refusal(fleet, fleet.delegation(above, "scribe"))
    below_full = await refusal(fleet, fleet.delegation(first.task_id, "scribe", agent="fixer"))
    await fleet.end(fleet.admitted("fixer"), first.task_id)

    assert (above_full.reason, below_full.reason) == (Reason.RATE_LIMITED, Reason.RATE_LIMITED)
    assert (await fleet.delegate(fleet.delegation(above, "scribe"))).depth == 1


async def test_the_end_of_the_first_task_ends_every_one_under_it(fleet: World) -> None:
    above = await started(fleet)
    first = await fleet.delegate(fleet.delegation(above, "fixer"))
    second = await fleet.delegate(fleet.delegation(first.task_id, "scribe", agent="fixer"))

    await fleet.end(fleet.admitted(), above)  # type: ignore[arg-type] # an id

    found = [await fleet.ledger.task(task.task_id) for task in (first, second)]
    assert [task.state for task in found if task is not None] == [TaskState.ENDED, TaskState.ENDED]
