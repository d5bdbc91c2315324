"""A task is a block: entering it issues credentials, leaving it ends the task, in threads and in event loops."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from tests.scripted_gateway import (
    GRANT,
    REPORTS,
    SECRET_KEY,
    SESSION_TOKEN,
    SUBJECT_TOKEN,
    TASK_ID,
    Held,
    ScriptedGateway,
    ended,
    issued,
    scripted_gateway,
)

import remit
from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit_server.domain.errors import Denied, Outage, Reason, Refusal, Remedy


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def gateway(server: ScriptedGateway) -> Iterator[remit.Gateway]:
    with server.connect() as gateway:
        yield gateway


def begin(gateway: remit.Gateway, **options: object) -> remit.TaskBlock:
    wanted: dict[str, object] = {"subject_token": SUBJECT_TOKEN, "allow": [REPORTS]}
    return gateway.task("summarise Q3", **(wanted | options))  # type: ignore[arg-type]


def denied() -> Denied:
    return Denied(Reason.POLICY_DENIED, "alice is not an analyst", Refusal(remedy=Remedy.GIVE_UP))


def test_entering_a_block_issues_credentials_and_leaving_it_ends_the_task(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    with begin(gateway) as task:
        credentials, ends_inside = task.credentials(), list(server.ends)

    assert (credentials.secret_access_key, credentials.session_token) == (SECRET_KEY, SESSION_TOKEN)
    assert credentials.region == "eu-central-1"
    assert (task.id, task.grant.name) == (TASK_ID, GRANT)
    assert task.grant.state is remit.GrantState.ISSUED
    assert ends_inside == []
    assert server.ends == [TASK_ID]


async def test_the_same_gateway_serves_event_loops(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    async with begin(gateway) as task:
        credentials, ends_inside = await task.credentials(), list(server.ends)

    assert credentials.secret_access_key == SECRET_KEY
    assert ends_inside == []
    assert server.ends == [TASK_ID]


def test_one_gateway_serves_one_event_loop_after_another(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    async def work() -> None:
        async with begin(gateway):
            pass

    asyncio.run(work())
    asyncio.run(work())

    assert server.ends == [TASK_ID, TASK_ID]


async def test_tasks_of_an_event_loop_wait_for_the_gateway_side_by_side(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    both = threading.Barrier(2)
    server.issue_answers += [lambda _: (both.wait(timeout=30), issued(1))[1]] * 2

    async def work() -> str:
        async with begin(gateway) as task:
            return task.id

    done = await asyncio.gather(work(), work())

    assert list(done) == [TASK_ID, TASK_ID]


def test_what_the_caller_wrote_is_what_the_gateway_is_asked(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    condition = remit.Condition("StringLike", "s3:prefix", ["2026/*"])
    permission = remit.Permission(["s3:ListBucket"], "arn:aws:s3:::reports", [condition])

    with begin(gateway, allow=(REPORTS, permission), duration=20, narrow=True, labels={"ticket": "R-7"}):
        pass

    (request,) = server.issues
    assert request.subject_token == SUBJECT_TOKEN
    assert request.task_id == ""
    assert request.intent == types_pb2.TaskIntent(
        purpose="summarise Q3",
        permissions=[
            types_pb2.Permission(
                actions=["s3:ListBucket"],
                resources=["arn:aws:s3:::reports"],
                conditions=[types_pb2.Condition(operator="StringLike", key="s3:prefix", values=["2026/*"])],
            )
        ],
        capabilities=[
            types_pb2.Capability(name="s3.read_prefix", parameters={"bucket": "reports", "prefix": "2026/q3/"})
        ],
        labels={"ticket": "R-7"},
    )
    assert request.requested_duration.ToTimedelta() == timedelta(seconds=20)
    assert request.narrow


def test_without_a_duration_none_is_asked_for(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    with begin(gateway):
        pass

    assert not server.issues[0].HasField("requested_duration")


def test_a_subject_token_may_be_a_function_that_is_asked_for_a_fresh_one(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    tokens = iter(["first", "second\n"])
    server.issue_answers.append(issued(1, left=timedelta(seconds=90)))

    with begin(gateway, subject_token=lambda: next(tokens)) as task:
        task.credentials()

    assert [server.issues[0].subject_token, server.renewals[0].subject_token] == ["first", "second"]


def test_a_failing_block_ends_its_task_and_keeps_its_own_exception(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    with pytest.raises(KeyError, match="mine"), begin(gateway):
        raise KeyError("mine")

    assert server.ends == [TASK_ID]


def test_a_refused_task_has_no_block_and_nothing_to_end(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    server.issue_answers.append(denied())

    with pytest.raises(remit.Refused), begin(gateway):
        pytest.fail("the block ran")

    assert server.ends == []


def test_a_task_that_cannot_be_ended_is_an_error_that_says_how_long_it_works(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.end_answers.append(Outage(Reason.INTERNAL, "internal error"))

    with pytest.raises(remit.GatewayFailure) as raised, begin(gateway) as task:
        pass

    until = task.grant.expire_time.isoformat()
    assert raised.value.__notes__ == [
        f"remit task {TASK_ID} was not ended (INTERNAL): its credentials work until {until}"
    ]


def test_a_task_that_cannot_be_ended_does_not_hide_what_failed_in_its_block(
    gateway: remit.Gateway, server: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    server.end_answers.append(Outage(Reason.INTERNAL, "internal error"))

    with pytest.raises(KeyError, match="mine") as raised, begin(gateway):
        raise KeyError("mine")

    (note,) = raised.value.__notes__
    assert "was not ended (INTERNAL)" in note
    assert [record.getMessage() for record in caplog.records if record.name == "remit"] == [note]


async def test_a_loops_task_that_cannot_be_ended_does_not_hide_what_failed_in_its_block(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    server.end_answers.append(Outage(Reason.INTERNAL, "internal error"))

    with pytest.raises(KeyError, match="mine") as raised:
        async with begin(gateway):
            raise KeyError("mine")

    assert "was not ended (INTERNAL)" in raised.value.__notes__[0]


async def test_a_block_that_is_cancelled_ends_its_task(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with begin(gateway):
            inside.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(work())
    await inside.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert server.ends == [TASK_ID]


async def test_a_block_that_is_cancelled_while_it_is_left_ends_its_task_all_the_same(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    ending = Held(ended())
    server.end_answers.append(ending)

    async def work() -> None:
        async with begin(gateway):
            pass

    running = asyncio.create_task(work())
    await asyncio.to_thread(ending.arrived.wait, 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gone_when_cancelled = ending.gone.is_set()
    ending.release.set()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task not in {running, asyncio.current_task()}))

    assert not gone_when_cancelled
    assert server.ends == [TASK_ID]


async def test_cancelling_a_task_that_is_being_issued_cancels_the_call(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    issuing = Held(issued())
    server.issue_answers.append(issuing)
    entering = asyncio.create_task(begin(gateway).__aenter__())
    await asyncio.to_thread(issuing.arrived.wait, 30)

    entering.cancel()

    with pytest.raises(asyncio.CancelledError):
        await entering
    assert await asyncio.to_thread(issuing.gone.wait, 30)
    issuing.release.set()


def test_a_task_that_is_over_gives_no_credentials(gateway: remit.Gateway) -> None:
    with begin(gateway) as task:
        pass

    with pytest.raises(remit.TaskOver) as raised:
        task.credentials()

    assert raised.value.reason == "GRANT_NOT_LIVE"
    assert "it was ended" in raised.value.message


async def test_a_loops_task_that_is_over_gives_no_credentials(gateway: remit.Gateway) -> None:
    async with begin(gateway) as task:
        pass

    with pytest.raises(remit.TaskOver):
        await task.credentials()


def test_a_task_can_be_ended_early_and_says_until_when_credentials_work(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    answer = ended()
    server.end_answers.append(answer)

    with begin(gateway) as task:
        first, second = task.end(), task.end()

    assert first == second
    assert first.grants == (GRANT,)
    assert first.credentials_until == answer.credentials_until.ToDatetime(tzinfo=UTC)
    assert first.denying
    assert server.ends == [TASK_ID]


def test_a_block_that_joined_a_task_leaves_its_ending_to_who_started_it(
    gateway: remit.Gateway, server: ScriptedGateway
) -> None:
    with begin(gateway) as task:
        with begin(gateway, task_id=task.id) as joined:
            pass
        ends_inside = list(server.ends)

        with pytest.raises(remit.TaskOver):
            joined.credentials()

    assert server.issues[1].task_id == TASK_ID
    assert ends_inside == []
    assert server.ends == [TASK_ID]


def test_a_block_is_entered_once(gateway: remit.Gateway) -> None:
    block = begin(gateway)
    with block:
        pass

    with pytest.raises(RuntimeError, match=r"call gateway\.task\(\) again"), block:
        pass


def test_an_iam_document_is_no_permission(gateway: remit.Gateway) -> None:
    with pytest.raises(TypeError, match="IAM JSON is not accepted"):
        begin(gateway, allow=[{"Effect": "Allow", "Action": "*", "Resource": "*"}])


@pytest.mark.parametrize("wrong", [None, 7, {"Effect": "Allow"}, {"read s3://reports/2026/*": True}])
def test_what_is_no_list_of_them_is_told_what_allow_takes(wrong: object, gateway: remit.Gateway) -> None:
    with pytest.raises(TypeError, match=r"allow takes remit\.Permission"):
        begin(gateway, allow=wrong)


def test_texts_are_taken_wherever_permissions_and_capabilities_are(
    server: ScriptedGateway, gateway: remit.Gateway
) -> None:
    read = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*")

    with begin(gateway, allow=["s3:GetObject=arn:aws:s3:::reports/*", read]):
        pass
    with begin(gateway, allow="read s3://reports/2026/q3/*"):
        pass

    listed, single = (issue.intent for issue in server.issues)
    assert [list(permission.resources) for permission in listed.permissions] == [["arn:aws:s3:::reports/*"]] * 2
    assert [capability.name for capability in single.capabilities] == ["s3.read_prefix"]


def test_a_text_that_says_nothing_known_is_refused_before_anything_is_sent(
    server: ScriptedGateway, gateway: remit.Gateway
) -> None:
    with pytest.raises(remit.InvalidRequest, match=r"allow\[1\]: .*the nearest is read s3://"):
        begin(gateway, allow=["read s3://reports/*", "reed s3://reports/*"])

    assert server.issues == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"labels": {"ticket": 7}}, "purpose and labels must be strings"),
        ({"subject_token": b"bytes"}, "subject_token must be a string"),
        ({"subject_token": None}, "subject_token must be a string"),
    ],
)
def test_values_of_another_kind_are_refused_where_they_are_written(
    options: dict[str, object], told: str, gateway: remit.Gateway
) -> None:
    with pytest.raises(TypeError, match=told):
        begin(gateway, **options)


def test_a_capabilitys_parameters_are_strings() -> None:
    with pytest.raises(TypeError, match=r"the parameters of s3\.read_prefix must be strings"):
        remit.Capability("s3.read_prefix", bucket=7)  # type: ignore[arg-type]


def test_permissions_and_capabilities_are_values() -> None:
    permission = remit.Permission("s3:GetObject", ["arn:aws:s3:::reports/*"])

    assert permission == remit.Permission(["s3:GetObject"], "arn:aws:s3:::reports/*")
    assert len({permission, REPORTS, remit.Capability("s3.read_prefix", prefix="2026/q3/", bucket="reports")}) == 2
    assert repr(REPORTS) == "Capability('s3.read_prefix', bucket='reports', prefix='2026/q3/')"


def test_a_preview_shows_what_would_be_issued(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    would = messages.PreviewedGrant(
        session_policy="{}", role_arn="arn:aws:iam::123456789012:role/r", policy_revision="a1"
    )
    would.expire_time.FromSeconds(1_800_000_000)
    server.preview_answers.append(messages.PreviewCredentialsResponse(would_issue=would))

    seen = gateway.preview("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS)

    assert isinstance(seen, remit.WouldIssue)
    assert (seen.session_policy, seen.policy_revision) == ("{}", "a1")
    assert seen.expire_time.timestamp() == 1_800_000_000
    assert server.previews[0].intent.capabilities[0].name == "s3.read_prefix"
    assert server.issues == []


async def test_a_preview_shows_a_refusal_as_an_answer(gateway: remit.Gateway, server: ScriptedGateway) -> None:
    refusal = types_pb2.Refusal(
        remedy=types_pb2.REMEDY_NARROW,
        offer=[types_pb2.Permission(actions=["s3:GetObject"], resources=["arn:aws:s3:::reports/2026/q3/*"])],
    )
    would = messages.PreviewedRefusal(reason="CEILING_EXCEEDED", message="too wide", refusal=refusal)
    server.preview_answers.append(messages.PreviewCredentialsResponse(would_refuse=would))

    seen = await gateway.preview_async("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS)

    assert isinstance(seen, remit.WouldRefuse)
    assert (seen.reason, seen.remedy) == ("CEILING_EXCEEDED", remit.Remedy.NARROW)
    assert seen.offer == (remit.Permission(["s3:GetObject"], ["arn:aws:s3:::reports/2026/q3/*"]),)
    assert "ask with allow=error.offer" in str(seen)


def test_a_preview_of_an_unknown_kind_is_an_error(gateway: remit.Gateway) -> None:
    with pytest.raises(remit.GatewayFailure, match="ANSWER_NOT_UNDERSTOOD"):
        gateway.preview("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS)
