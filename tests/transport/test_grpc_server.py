"""The gRPC surface: what goes in, what comes out, and how every failure looks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.fakes import world
from tests.transport.gateway_server import Failure, Served, as_agent, failure_of, issue_message, served

from remit.v1 import types_pb2
from remit.v1.credential_service_pb2 import (
    EndTaskRequest,
    IssueCredentialsRequest,
    PreviewCredentialsRequest,
    RenewCredentialsRequest,
)
from remit_server.domain.errors import Outage, Reason
from remit_server.transport.grpc.status import code_of

FULL_NAME = "/remit.v1.CredentialService"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path) as made, served(made, tmp_path) as running:
        yield running


async def failure(call: object) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc]
    return failure_of(raised.value)


async def test_an_agent_gets_credentials_and_the_grant_they_belong_to(gateway: Served) -> None:
    answer = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

    assert answer.credentials.secret_access_key == "secret-ASIA0000000000000001"
    assert answer.credentials.expire_time == answer.grant.expire_time
    assert answer.grant.name == f"tasks/{answer.grant.task_id}/grants/{answer.grant.name.rpartition('/')[2]}"
    assert answer.grant.state == types_pb2.GRANT_STATE_ISSUED
    assert answer.grant.size.characters == len(answer.grant.session_policy)
    assert answer.grant.size.packed_percent == 7


async def test_a_preview_says_what_would_be_issued_and_calls_no_sts(gateway: Served) -> None:
    request = PreviewCredentialsRequest(subject_token="alice@copilot", intent=issue_message().intent)

    answer = await gateway.stub.PreviewCredentials(request, metadata=as_agent())

    assert answer.WhichOneof("outcome") == "would_issue"
    assert "arn:aws:s3:::reports/2026/q3/*" in answer.would_issue.session_policy
    assert gateway.world.sts.orders == []
    assert await gateway.world.trail() == ["preview_decided"]


async def test_a_refused_preview_is_an_answer(gateway: Served) -> None:
    request = PreviewCredentialsRequest(
        subject_token="alice@copilot", intent=issue_message("arn:aws:s3:::reports/*").intent
    )

    answer = await gateway.stub.PreviewCredentials(request, metadata=as_agent())

    assert answer.would_refuse.reason == "CEILING_EXCEEDED"
    assert answer.would_refuse.refusal.remedy == types_pb2.REMEDY_NARROW


async def test_a_renewal_gives_new_credentials_of_the_same_grant(gateway: Served) -> None:
    issued = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
    request = RenewCredentialsRequest(name=issued.grant.name, subject_token="alice@copilot")

    renewed = await gateway.stub.RenewCredentials(request, metadata=as_agent())

    assert renewed.grant.name == issued.grant.name
    assert renewed.credentials.secret_access_key == "secret-ASIA0000000000000002"
    assert len(renewed.grant.issuances) == 2
    assert not renewed.narrowed


@pytest.mark.parametrize("name", ["", "tasks/x/grants/y", f"tasks/{'a' * 26}", f"tasks/{'a' * 26}/grants/{'b' * 27}"])
async def test_what_is_no_grants_name_is_malformed(gateway: Served, name: str) -> None:
    refused = await failure(gateway.stub.RenewCredentials(RenewCredentialsRequest(name=name), metadata=as_agent()))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_ending_a_task_says_until_when_credentials_work(gateway: Served) -> None:
    issued = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

    ended = await gateway.stub.EndTask(EndTaskRequest(task_id=issued.grant.task_id), metadata=as_agent())

    assert list(ended.grants) == [issued.grant.name]
    assert ended.credentials_until == issued.grant.expire_time


async def test_a_refusal_carries_reason_rule_remedy_and_offer(gateway: Served) -> None:
    refused = await failure(gateway.stub.IssueCredentials(issue_message("arn:aws:s3:::reports/*"), metadata=as_agent()))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CEILING_EXCEEDED")
    assert refused.info.domain == "remit.dev"
    assert refused.refusal is not None
    assert refused.refusal.failures[0].rule == "entitlements"
    assert list(refused.refusal.offer[0].resources) == ["arn:aws:s3:::reports/2026/*"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"request_id": "not-a-uuid"}, "request_id"),
        ({"subject_token": ""}, "subject_token"),
        ({"task_id": "../../etc"}, "task_id"),
        ({"intent": types_pb2.TaskIntent(purpose="")}, "intent.purpose"),
        (
            {
                "intent": types_pb2.TaskIntent(
                    purpose="x", permissions=[types_pb2.Permission(actions=["s3:Get,s3:Put"], resources=["*"])]
                )
            },
            "intent.permissions[0].actions[0]",
        ),
        (
            {
                "intent": types_pb2.TaskIntent(
                    purpose="x", permissions=[types_pb2.Permission(actions=["s3:GetObject"], resources=["arn:aws:s3"])]
                )
            },
            "intent.permissions[0].resources[0]",
        ),
        (
            {
                "intent": types_pb2.TaskIntent(
                    purpose="x",
                    permissions=[
                        types_pb2.Permission(
                            actions=["s3:GetObject"],
                            resources=["*"],
                            conditions=[
                                types_pb2.Condition(operator="StringLike", key="s3:prefix", values=["${aws:username}"])
                            ],
                        )
                    ],
                )
            },
            "intent.permissions[0].conditions[0]",
        ),
        ({"intent": types_pb2.TaskIntent(purpose="line\nbreak")}, "intent.purpose"),
        (
            {
                "intent": types_pb2.TaskIntent(
                    purpose="x",
                    permissions=[
                        types_pb2.Permission(
                            actions=["s3:GetObject"],
                            resources=["*"],
                            conditions=[types_pb2.Condition(operator="StringAlike", key="s3:prefix", values=["2026/"])],
                        )
                    ],
                )
            },
            "intent.permissions[0].conditions[0]",
        ),
    ],
)
async def test_a_malformed_field_is_named_and_its_value_is_not_repeated(
    gateway: Served, change: dict[str, Any], path: str
) -> None:
    refused = await failure(gateway.stub.IssueCredentials(issue_message(**change), metadata=as_agent()))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert path in refused.violations
    assert not {"not-a-uuid", "../../etc", "s3:Get,s3:Put", "${aws:username}"} & set(refused.violations.values())


@pytest.mark.parametrize("change", [{"request_id": "x"}, {"intent": types_pb2.TaskIntent(purpose="line\nbreak")}])
async def test_a_malformed_call_is_on_record_under_its_agents_name(gateway: Served, change: dict[str, Any]) -> None:
    await failure(gateway.stub.IssueCredentials(issue_message(**change), metadata=as_agent()))

    (event,) = await gateway.world.events()
    assert event.kind == "request_refused"
    assert "corp:copilot" in event.body_text
    assert "INVALID_REQUEST" in event.body_text


async def test_a_strangers_message_is_not_even_read(gateway: Served) -> None:
    refused = await failure(gateway.stub.IssueCredentials(issue_message(request_id="x"), metadata=as_agent("stranger")))

    await gateway.world.rejections.write()
    assert refused.info.reason == "ACTOR_REJECTED"
    assert await gateway.world.trail() == ["callers_rejected"]


async def test_an_unknown_field_and_an_unknown_enum_refuse_the_message(gateway: Served) -> None:
    raw = issue_message().SerializeToString() + b"\xba\x3e\x01x"  # field 999
    call: Any = gateway.channel.unary_unary(f"{FULL_NAME}/IssueCredentials")

    refused = await failure(call(raw, metadata=as_agent()))

    assert refused.info.reason == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "copilot"),),
        (("authorization", "Bearer "),),
        (("authorization", "Bearer copilot"), ("authorization", "Bearer root")),
        (("authorization", "Bearer co pilot"),),
    ],
)
async def test_exactly_one_bearer_value_is_taken(gateway: Served, metadata: tuple[tuple[str, str], ...]) -> None:
    refused = await failure(gateway.stub.IssueCredentials(issue_message(), metadata=metadata))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "ACTOR_REJECTED")
    assert gateway.world.sts.orders == []


@pytest.mark.parametrize(
    "method",
    [
        "/admin.Admin/Delete",
        f"/{FULL_NAME}/IssueCredentials",
        f"{FULL_NAME}/IssueCredentials/",
        f"{FULL_NAME}/%49ssueCredentials",
        f"{FULL_NAME}/issuecredentials",
        f"{FULL_NAME}/IssueCredentials?x=1",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.channelz.v1.Channelz/GetServers",
    ],
)
async def test_only_listed_methods_exist(gateway: Served, method: str) -> None:
    call: Any = gateway.channel.unary_unary(method)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(issue_message().SerializeToString(), metadata=as_agent())

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert gateway.world.sts.orders == []


async def test_a_failure_nobody_thought_of_says_internal_error_and_nothing_else(gateway: Served) -> None:
    gateway.world.policy.answer = ZeroDivisionError("the secret cause")

    refused = await failure(gateway.stub.IssueCredentials(issue_message(), metadata=as_agent()))

    assert (refused.code, refused.message) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_an_outage_says_when_to_try_again(gateway: Served) -> None:
    gateway.world.policy.answer = Outage(Reason.POLICY_UNAVAILABLE, "the policy engine did not answer")

    refused = await failure(gateway.stub.IssueCredentials(issue_message(), metadata=as_agent()))

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.UNAVAILABLE, "POLICY_UNAVAILABLE")
    assert refused.info.metadata["remedy"] == "RETRY_LATER"


async def test_a_message_over_64_kib_is_refused(gateway: Served) -> None:
    big = issue_message(subject_token="x" * 70_000)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.IssueCredentials(big, metadata=as_agent())

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_over_24_kib_is_refused(gateway: Served) -> None:
    metadata = (*as_agent(), *((f"x-{number}", "y" * 4000) for number in range(8)))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.IssueCredentials(issue_message(), metadata=metadata)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_the_gateway_takes_are_refused_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as made, served(made, tmp_path, concurrent_calls=4) as gateway:
        made.sts.gate = asyncio.Event()
        calls = [
            asyncio.create_task(_outcome(gateway, issue_message(request_id=f"4c1b7d52-3f0e-4a4e-9a3a-{number:012d}")))
            for number in range(12)
        ]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        made.sts.gate.set()

        outcomes = await asyncio.gather(*calls)

        assert set(outcomes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}


async def _outcome(gateway: Served, message: IssueCredentialsRequest) -> grpc.StatusCode:
    try:
        await gateway.stub.IssueCredentials(message, metadata=as_agent())
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_health_says_serving(gateway: Served) -> None:
    health: Any = health_pb2_grpc.HealthStub(gateway.channel)

    answer = await health.Check(health_pb2.HealthCheckRequest())

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_every_reason_has_a_code() -> None:
    codes = {reason: code_of(reason) for reason in Reason}

    assert grpc.StatusCode.OK not in codes.values()
