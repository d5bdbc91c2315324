"""The task of a run: begun at the first call, one for all of its calls, ended with it in every way of leaving."""

import asyncio
import copy
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.scripted_gateway import (
    CANARIES,
    REPORTS,
    SUBJECT_TOKEN,
    TASK_ID,
    Held,
    ScriptedGateway,
    issued,
    scripted_gateway,
)

import remit
from remit.frameworks import RunTask
from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit_server.domain.errors import Denied, Outage, Reason, Refusal, Remedy
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, ResourcePattern

DRAFT = remit.Permission("s3:PutObject", "arn:aws:s3:::reports/drafts/*")
OFFERED = "arn:aws:s3:::reports/2026/q3/part/*"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def gateway(server: ScriptedGateway) -> Iterator[remit.Gateway]:
    with server.connect() as gateway:
        yield gateway


def run_task(gateway: remit.Gateway, **options: Any) -> RunTask:
    return RunTask(gateway, "summarise Q3", **({"subject_token": SUBJECT_TOKEN, "allow": [REPORTS]} | options))


def denied(remedy: Remedy = Remedy.GIVE_UP, *offer: str) -> Denied:
    offered = tuple(
        Permission((ActionPattern.parse("s3:GetObject"),), (ResourcePattern.parse(resource),)) for resource in offer
    )
    return Denied(Reason.CEILING_EXCEEDED, "it is too wide", Refusal(remedy, offer=offered))


def pending() -> messages.IssueCredentialsResponse:
    approval = types_pb2.Approval(
        name="approvals/a", task_id=TASK_ID, groups=["security"], lapse_time=Timestamp(seconds=9)
    )
    grant = issued().grant
    grant.state = types_pb2.GRANT_STATE_PENDING_APPROVAL
    return messages.IssueCredentialsResponse(grant=grant, approval=approval)


def asked(server: ScriptedGateway) -> list[tuple[list[str], list[str]]]:
    """Returns the capabilities and the actions of each request."""
    return [
        ([one.name for one in request.intent.capabilities], [one.actions[0] for one in request.intent.permissions])
        for request in server.issues
    ]


def test_a_run_asks_at_its_first_call_and_once_for_all_of_them(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    with run_task(gateway) as aws:
        before = len(server.issues)
        with ThreadPoolExecutor(8) as threads:
            tasks = {task.id for task in threads.map(lambda _: aws.task(), range(8))}

    assert before == 0
    assert tasks == {TASK_ID}
    assert len(server.issues) == 1
    assert server.ends == [TASK_ID]


def test_a_run_that_never_calls_asks_nothing_and_ends_nothing(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    with run_task(gateway):
        pass

    assert (server.issues, server.ends) == ([], [])


def test_a_run_may_ask_when_it_starts(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(denied())

    with pytest.raises(remit.Refused), run_task(gateway, start_now=True):
        pytest.fail("the block ran")
    with run_task(gateway, start_now=True):
        begun = len(server.issues)

    assert begun == 2
    assert server.ends == [TASK_ID]


async def test_leaving_by_an_exception_ends_the_task(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    async def whole() -> None:
        async with run_task(gateway) as aws:
            aws.task()
            raise LookupError

    with pytest.raises(LookupError):
        await whole()

    assert server.ends == [TASK_ID]


async def test_a_run_cancelled_again_and_again_while_it_is_left_still_ends_its_task(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    held = Held(messages.EndTaskResponse(end_time=Timestamp(seconds=9)))
    server.end_answers.append(held)

    async def whole() -> None:
        async with run_task(gateway) as aws:
            await asyncio.to_thread(aws.task)

    run = asyncio.ensure_future(whole())
    await asyncio.to_thread(held.arrived.wait, 30)
    run.cancel()
    await asyncio.wait([run], timeout=30)
    held.release.set()

    assert run.cancelled()
    assert server.ends == [TASK_ID]


async def test_a_call_that_is_beginning_the_task_while_the_run_is_left_has_it_ended_too(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    held = Held(issued())
    server.issue_answers.append(held)

    async def whole() -> None:
        async with run_task(gateway) as aws:
            await asyncio.to_thread(aws.task)

    run = asyncio.ensure_future(whole())
    await asyncio.to_thread(held.arrived.wait, 30)
    run.cancel()
    await asyncio.sleep(0)
    held.release.set()
    await asyncio.wait([run], timeout=30)

    assert run.cancelled()
    assert server.ends == [TASK_ID]


async def test_a_start_that_is_cancelled_ends_what_it_began(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    held = Held(issued())
    server.issue_answers.append(held)
    ended = threading.Event()

    async def whole() -> None:
        async with run_task(gateway, start_now=True):
            pytest.fail("the block ran")

    def noted(context: Any) -> messages.EndTaskResponse:
        context.add_callback(ended.set)
        return messages.EndTaskResponse(end_time=Timestamp(seconds=9))

    server.end_answers.append(noted)
    run = asyncio.ensure_future(whole())
    await asyncio.to_thread(held.arrived.wait, 30)
    run.cancel()
    await asyncio.wait([run], timeout=30)
    held.release.set()

    assert await asyncio.to_thread(ended.wait, 30)
    assert server.ends == [TASK_ID]


def test_outside_of_its_block_a_run_has_no_task(gateway: remit.Gateway) -> None:
    aws = run_task(gateway)
    with pytest.raises(RuntimeError, match="enter the run's task first"):
        aws.task()
    with aws:
        aws.task()

    with pytest.raises(remit.TaskOver, match="is over"):
        aws.task()
    with pytest.raises(RuntimeError, match="for one run"):
        aws.__enter__()


def test_after_a_refusal_the_next_call_asks_again(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers += [denied(), Outage(Reason.STS_UNAVAILABLE, "not now")]

    with run_task(gateway) as aws:
        with pytest.raises(remit.Refused):
            aws.task()
        task_id = aws.task().id

    assert task_id == TASK_ID
    assert server.ends == [TASK_ID]


def test_asking_for_more_joins_the_task_and_holds_both(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    with run_task(gateway, at_most=[DRAFT]) as aws:
        aws.task()
        aws.request("s3:PutObject=arn:aws:s3:::reports/drafts/a.md", "to keep a draft")
        second = aws.task().credentials().access_key_id

    assert asked(server)[1] == (["s3.read_prefix"], ["s3:PutObject"])
    assert server.issues[1].task_id == TASK_ID
    assert server.issues[1].intent.purpose == 'summarise Q3 (the agent says: "to keep a draft")'
    assert second == "ASIAREMIT00000000002"
    assert server.ends == [TASK_ID]


def test_a_model_that_asks_first_begins_the_task_with_both(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    with run_task(gateway, at_most=DRAFT) as aws:
        aws.request([DRAFT])
        aws.task()

    assert asked(server) == [(["s3.read_prefix"], ["s3:PutObject"])]


def test_more_than_the_developers_most_is_not_even_asked_for(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    with run_task(gateway, at_most=[DRAFT]) as aws, pytest.raises(remit.Refused, match="RUN_LIMIT_EXCEEDED"):
        aws.request("s3:PutObject=arn:aws:s3:::reports/*")

    assert server.issues == []


def test_the_offer_of_a_refusal_may_be_asked_for_and_stands_for_what_was_refused(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers.append(denied(Remedy.NARROW, OFFERED))

    with run_task(gateway) as aws:
        with pytest.raises(remit.Refused) as raised:
            aws.task()
        aws.request(raised.value.offer)
        held = aws.holds

    assert held == raised.value.offer
    assert asked(server) == [(["s3.read_prefix"], []), ([], ["s3:GetObject"])]


def test_what_does_not_fit_beside_the_rest_replaces_it(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers += [issued(), denied(Remedy.SPLIT)]

    with run_task(gateway, at_most=[DRAFT]) as aws:
        aws.task()
        aws.request(DRAFT)
        held = aws.holds

    assert held == (DRAFT,)
    assert asked(server)[1:] == [(["s3.read_prefix"], ["s3:PutObject"]), ([], ["s3:PutObject"])]


def test_a_wish_that_is_refused_leaves_what_there_is(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers += [issued(), denied()]

    with run_task(gateway, at_most=[DRAFT]) as aws:
        key = aws.task().credentials().access_key_id
        with pytest.raises(remit.Refused):
            aws.request(DRAFT)
        kept = aws.task().credentials().access_key_id

    assert kept == key


def test_what_people_approved_is_collected_with_the_request_that_they_were_asked_about(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.issue_answers += [issued(), pending(), pending()]

    with run_task(gateway, at_most=[DRAFT]) as aws:
        aws.task()
        for why in ("for the board", "as I said"):
            with pytest.raises(remit.ApprovalPending):
                aws.request(DRAFT, why)
        aws.request(DRAFT, "is it there now?")

    first, second, third = server.issues[1:]
    assert first.request_id == second.request_id == third.request_id
    assert first.intent == second.intent == third.intent


def test_a_run_with_nothing_to_begin_with_says_so_and_begins_with_what_is_asked_for(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    with run_task(gateway, allow=(), at_most=[DRAFT]) as aws:
        with pytest.raises(remit.Refused, match="NOTHING_ASKED_FOR"):
            aws.task()
        aws.request(DRAFT)

    assert asked(server) == [([], ["s3:PutObject"])]
    assert server.ends == [TASK_ID]


def test_a_run_shows_no_token_and_is_copied_by_reference_and_not_written_down(gateway: remit.Gateway) -> None:
    with run_task(gateway) as aws:
        aws.boto3_session()
        shown = repr(aws) + repr(vars(aws))

        assert not any(canary in shown for canary in CANARIES)
        assert copy.deepcopy({"aws": aws})["aws"] is aws
        assert copy.copy(aws) is aws
        with pytest.raises(TypeError, match="not written into checkpoints"):
            pickle.dumps(aws)


def test_a_grant_that_was_revoked_gives_no_more_and_no_other_task_is_begun(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    with run_task(gateway) as aws:
        aws.task().forget("it was revoked")
        with pytest.raises(remit.TaskOver):
            aws.task().credentials()

    assert len(server.issues) == 1
