"""Handing a task on, and working in one that was handed on: the Python client's side."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scripted_gateway import REPORTS, SUBJECT_TOKEN, TASK_ID, ScriptedGateway, issued, scripted_gateway

import remit
from remit.v1 import credential_service_pb2 as messages
from remit_server.domain.errors import Denied, Outage, Reason

BELOW = "b" * 26
FIXER = "spiffe://acme.example/fixer"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def gateway(server: ScriptedGateway) -> Iterator[remit.Gateway]:
    with server.connect() as gateway:
        yield gateway


def begin(gateway: remit.Gateway, **options: Any) -> remit.TaskBlock:
    return gateway.task("summarise Q3", **{"subject_token": SUBJECT_TOKEN, "allow": [REPORTS], **options})


def handed_on(number: int = 1) -> messages.IssueCredentialsResponse:
    """What is issued in a task that another agent handed on."""
    answer = issued(number)
    answer.grant.parent = f"tasks/{BELOW}/grants/{'d' * 26}"
    return answer


def test_it_says_whom_for_what_and_how_long(server: ScriptedGateway, gateway: remit.Gateway) -> None:
    server.delegations.append(messages.DelegateTaskResponse(task_id=BELOW, depth=1))

    with begin(gateway) as task:
        found = task.delegate(FIXER, purpose="look at the screenshot", max_duration=600)

    (request,) = server.requests
    assert (found, request.task_id, request.actor) == (BELOW, TASK_ID, FIXER)
    assert (request.purpose, request.max_duration.ToTimedelta()) == ("look at the screenshot", timedelta(minutes=10))


async def test_in_an_event_loop_too(server: ScriptedGateway, gateway: remit.Gateway) -> None:
    server.delegations.append(messages.DelegateTaskResponse(task_id=BELOW, depth=1))

    async with begin(gateway) as task:
        found = await task.delegate(FIXER, purpose="look")

    assert (found, server.requests[0].HasField("max_duration")) == (BELOW, False)


def test_a_repeat_after_an_outage_is_the_same_request(server: ScriptedGateway, gateway: remit.Gateway) -> None:
    outage = Outage(Reason.LEDGER_UNAVAILABLE, "busy", retry_after=timedelta(milliseconds=10))
    server.delegations.extend([outage, messages.DelegateTaskResponse(task_id=BELOW)])

    with begin(gateway) as task:
        assert task.delegate(FIXER, purpose="look") == BELOW

    assert len({request.request_id for request in server.requests}) == 1
    assert len(server.requests) == 2


def test_a_refusal_is_told_with_its_reason(server: ScriptedGateway, gateway: remit.Gateway) -> None:
    server.delegations.append(Denied(Reason.DELEGATION_TOO_DEEP, "tasks stand at most 3 deep"))

    with begin(gateway) as task, pytest.raises(remit.Refused, match="3 deep") as refused:
        task.delegate(FIXER, purpose="look")

    assert refused.value.reason == "DELEGATION_TOO_DEEP"


def test_the_first_block_in_a_task_that_was_handed_on_ends_it_and_the_others_join(
    server: ScriptedGateway, gateway: remit.Gateway
) -> None:
    server.issue_answers.extend([handed_on(1), handed_on(2)])

    with begin(gateway, task_id=TASK_ID):
        with begin(gateway, task_id=TASK_ID):
            pass
        joined = list(server.ends)

    assert (joined, server.ends) == ([], [TASK_ID])


def test_a_task_of_its_own_that_is_joined_is_left_to_whoever_started_it(
    server: ScriptedGateway, gateway: remit.Gateway
) -> None:
    with begin(gateway, task_id=TASK_ID):
        pass

    assert server.ends == []


def test_its_first_block_takes_a_lease_and_who_joins_takes_none(
    server: ScriptedGateway, gateway: remit.Gateway
) -> None:
    server.issue_answers.extend([handed_on(1), handed_on(2)])

    with begin(gateway, task_id=TASK_ID, lease=45):
        assert server.watched.wait(60)
        server.watched.clear()
        with begin(gateway, task_id=TASK_ID, lease=45):
            assert server.watched.wait(60)

    first, second = server.watches[:2]
    assert first.disconnect_grace.ToTimedelta() == timedelta(seconds=45)
    assert not second.HasField("disconnect_grace")
