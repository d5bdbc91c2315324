"""Through the front door: a task is handed on to another agent, which works in it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.fakes import NOON, world
from tests.transport.gateway_server import Failure, Served, as_agent, failure_of, issue_message, served

from remit.v1.credential_service_pb2 import DelegateTaskRequest

HANDING_ON = "7d0e3f61-5b0c-4c2d-8f2a-0d6c9b1c7a22"
IN_IT = "0c2f9a51-88a1-4d0e-9a35-3f0c1f0d6b11"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path, deepest=1) as made, served(made, tmp_path) as running:
        for name in ("fixer", "scribe"):
            made.user("alice", made.agent(name))
        yield running


async def failure(call: object) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc]
    return failure_of(raised.value)


async def started(gateway: Served) -> str:
    answer = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
    return answer.grant.task_id


def message(above: str, **more: Any) -> DelegateTaskRequest:
    usual = {"request_id": HANDING_ON, "task_id": above, "actor": "corp:fixer", "purpose": "read one report"}
    return DelegateTaskRequest(**{**usual, **more})


async def test_the_other_agent_works_in_the_task_and_its_grant_names_the_one_above(gateway: Served) -> None:
    above = await started(gateway)

    task = await gateway.stub.DelegateTask(message(above), metadata=as_agent())
    below = issue_message(request_id=IN_IT, subject_token="alice@fixer", task_id=task.task_id)
    answer = await gateway.stub.IssueCredentials(below, metadata=as_agent("fixer"))

    assert (task.depth, task.end_time.ToDatetime(NOON.tzinfo)) == (1, NOON + timedelta(hours=8))
    assert answer.grant.parent.startswith(f"tasks/{above}/grants/")
    assert answer.credentials.access_key_id


async def test_too_deep_is_a_refusal_of_its_own(gateway: Served) -> None:
    task = await gateway.stub.DelegateTask(message(await started(gateway)), metadata=as_agent())

    deeper = message(task.task_id, actor="corp:scribe")
    refused = await failure(gateway.stub.DelegateTask(deeper, metadata=as_agent("fixer")))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "DELEGATION_TOO_DEEP")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"actor": "corp:nobody"}, "actor"),
        ({"actor": "corp:copilot"}, "actor"),
        ({"actor": "corp:fix\ner"}, "actor"),
        ({"actor": ""}, "actor"),
        ({"purpose": "a\x1bb"}, "purpose"),
        ({"purpose": "x" * 513}, "purpose"),
        ({"request_id": "1"}, "request_id"),
        ({"task_id": "*"}, "task_id"),
        ({"max_duration": timedelta(seconds=14)}, "max_duration"),
        ({"max_duration": timedelta(days=8)}, "max_duration"),
        ({"max_duration": timedelta(seconds=20.5)}, "max_duration"),
    ],
)
async def test_what_is_malformed_is_told_by_its_field_and_nothing_is_opened(
    change: dict[str, Any], field: str, gateway: Served
) -> None:
    above = await started(gateway)

    refused = await failure(gateway.stub.DelegateTask(message(above, **change), metadata=as_agent()))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert set(refused.violations) == {field}
    assert "task_delegated" not in await gateway.world.trail()


async def test_who_is_not_known_hands_nothing_on(gateway: Served) -> None:
    refused = await failure(gateway.stub.DelegateTask(message("a" * 26), metadata=as_agent("stranger")))

    assert refused.info.reason == "ACTOR_REJECTED"
