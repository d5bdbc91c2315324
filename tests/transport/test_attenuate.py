"""Through the front door: a part of a grant, who is calling, and what a request came to."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.fakes import NOON, World, world
from tests.transport.gateway_server import REQUEST_ID, Failure, Served, as_agent, failure_of, issue_message, served

from remit.v1 import types_pb2
from remit.v1.credential_service_pb2 import (
    AttenuateCredentialsRequest,
    GetCallerIdentityRequest,
    GetDecisionRequest,
    RenewCredentialsRequest,
)
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind

PART_ID = "7d0e3f61-5b0c-4c2d-8f2a-0d6c9b1c7a22"
ONE_REPORT = "arn:aws:s3:::reports/2026/q3/summary.md"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path) as made, served(made, tmp_path) as running:
        yield running


async def failure(call: object) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call  # type: ignore[misc]
    return failure_of(raised.value)


def part_message(name: str, resource: str = ONE_REPORT, **more: Any) -> AttenuateCredentialsRequest:
    permission = types_pb2.Permission(actions=["s3:GetObject"], resources=[resource])
    intent = types_pb2.TaskIntent(purpose="read one report", permissions=[permission])
    return AttenuateCredentialsRequest(**{"request_id": PART_ID, "name": name, "intent": intent, **more})


async def issued(gateway: Served) -> str:
    answer = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
    return answer.grant.name


async def block(made: World, target: Target) -> None:
    order = RevokeOrder("r" * 26, target, RevokeCause.REQUESTED, by="acme:sam", why="a drill", block=True)
    await DatabaseRevocations(made.ledger.store).revoke(order)


async def test_a_part_of_a_grant_comes_with_its_credentials_and_names_its_parent(gateway: Served) -> None:
    name = await issued(gateway)

    answer = await gateway.stub.AttenuateCredentials(part_message(name), metadata=as_agent())

    assert answer.credentials.secret_access_key == "secret-ASIA0000000000000002"
    assert answer.credentials.expire_time.ToDatetime(tzinfo=NOON.tzinfo) == NOON + timedelta(seconds=60)
    assert (answer.grant.parent, answer.grant.intent.purpose) == (name, "read one report")
    assert answer.grant.name != name
    assert ONE_REPORT in answer.grant.session_policy


@pytest.mark.parametrize("seconds", [0, -1, 14, 604_801])
async def test_a_life_that_is_none_or_too_long_is_a_malformed_request(seconds: int, gateway: Served) -> None:
    message = part_message(await issued(gateway))
    message.requested_duration.FromSeconds(seconds)

    failed = await failure(gateway.stub.AttenuateCredentials(message, metadata=as_agent()))

    assert (failed.code, set(failed.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, {"requested_duration"})
    assert len(gateway.world.sts.orders) == 1


@pytest.mark.parametrize(
    ("field", "value"), [("name", "tasks/x/grants/y"), ("name", ""), ("request_id", "1"), ("intent", None)]
)
async def test_what_is_malformed_is_named_by_its_field(field: str, value: Any, gateway: Served) -> None:
    message = part_message(await issued(gateway))
    message.ClearField(field)  # type: ignore[arg-type]
    if value:
        setattr(message, field, value)

    failed = await failure(gateway.stub.AttenuateCredentials(message, metadata=as_agent()))

    assert (failed.code, failed.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert field in failed.violations


async def test_more_than_the_grant_holds_says_what_it_does_hold(gateway: Served) -> None:
    message = part_message(await issued(gateway), "arn:aws:s3:::reports/2026/*")

    failed = await failure(gateway.stub.AttenuateCredentials(message, metadata=as_agent()))

    assert (failed.code, failed.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CEILING_EXCEEDED")
    assert failed.refusal is not None
    assert failed.refusal.failures[0].rule == "parent_grant"
    assert failed.refusal.offer[0].resources == ["arn:aws:s3:::reports/2026/q3/*"]


async def test_another_agents_grant_is_not_there(gateway: Served) -> None:
    name = await issued(gateway)
    gateway.world.agent("fixer")

    failed = await failure(gateway.stub.AttenuateCredentials(part_message(name), metadata=as_agent("fixer")))

    assert (failed.code, failed.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_part_is_neither_attenuated_nor_renewed(gateway: Served) -> None:
    name = await issued(gateway)
    part = (await gateway.stub.AttenuateCredentials(part_message(name), metadata=as_agent())).grant.name
    again = part_message(part, request_id=REQUEST_ID.replace("4", "5"))
    renewal = RenewCredentialsRequest(name=part, subject_token="alice@copilot")

    deep = await failure(gateway.stub.AttenuateCredentials(again, metadata=as_agent()))
    renewed = await failure(gateway.stub.RenewCredentials(renewal, metadata=as_agent()))

    assert (deep.code, deep.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "DELEGATION_TOO_DEEP")
    assert (renewed.code, renewed.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GRANT_NOT_LIVE")
    assert name in deep.message
    assert name in renewed.message


async def test_an_agent_hears_who_it_is_and_for_whom_with_nothing_on_record(gateway: Served) -> None:
    alone = await gateway.stub.GetCallerIdentity(GetCallerIdentityRequest(), metadata=as_agent())
    message = GetCallerIdentityRequest(subject_token="alice@copilot")
    for_alice = await gateway.stub.GetCallerIdentity(message, metadata=as_agent())

    assert (alone.actor, alone.HasField("subject"), list(alone.groups)) == ("corp:copilot", False, [])
    assert not alone.HasField("subject_token_expire_time")
    assert alone.policy_revision == "5" * 64
    assert alone.time.ToDatetime(tzinfo=NOON.tzinfo) == NOON
    assert (for_alice.subject.issuer, for_alice.subject.id) == ("https://idp.example", "alice")
    assert list(for_alice.groups) == ["analysts"]
    assert for_alice.subject_token_expire_time.ToDatetime(tzinfo=NOON.tzinfo) == NOON + timedelta(hours=1)
    assert await gateway.world.trail() == []


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        ("nobody", grpc.StatusCode.UNAUTHENTICATED, "SUBJECT_TOKEN_REJECTED"),
        ("bob@fixer", grpc.StatusCode.PERMISSION_DENIED, "TOKEN_NOT_BOUND"),
    ],
)
async def test_a_token_that_is_not_this_agents_is_told_and_recorded(
    token: str, code: grpc.StatusCode, reason: str, gateway: Served
) -> None:
    gateway.world.user("bob", gateway.world.agent("fixer"))
    message = GetCallerIdentityRequest(subject_token=token)

    failed = await failure(gateway.stub.GetCallerIdentity(message, metadata=as_agent()))

    assert (failed.code, failed.info.reason) == (code, reason)
    assert await gateway.world.trail() == ["request_refused"]


async def test_a_blocked_user_is_told_to_who_asks_for_whom_it_is(gateway: Served) -> None:
    await block(gateway.world, Target(TargetKind.SUBJECT, "alice", "https://idp.example"))
    message = GetCallerIdentityRequest(subject_token="alice@copilot")

    failed = await failure(gateway.stub.GetCallerIdentity(message, metadata=as_agent()))

    assert (failed.code, failed.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SUBJECT_TOKEN_REJECTED")
    assert "blocked" in failed.message


async def test_what_a_request_came_to_is_told_to_who_made_it_and_to_nobody_else(gateway: Served) -> None:
    name = await issued(gateway)
    await gateway.stub.AttenuateCredentials(part_message(name), metadata=as_agent())
    gateway.world.agent("fixer")

    whole = await gateway.stub.GetDecision(GetDecisionRequest(request_id=REQUEST_ID.upper()), metadata=as_agent())
    part = await gateway.stub.GetDecision(GetDecisionRequest(request_id=PART_ID), metadata=as_agent())
    other = await failure(gateway.stub.GetDecision(GetDecisionRequest(request_id=PART_ID), metadata=as_agent("fixer")))

    assert (whole.grant.name, part.grant.parent) == (name, name)
    assert whole.grant.state == types_pb2.GRANT_STATE_ISSUED
    assert other.code is grpc.StatusCode.NOT_FOUND


async def test_a_refusal_is_told_again_with_its_reason_and_what_could_be_had(gateway: Served) -> None:
    wide = issue_message("arn:aws:s3:::reports/*")
    await failure(gateway.stub.IssueCredentials(wide, metadata=as_agent()))

    told = await gateway.stub.GetDecision(GetDecisionRequest(request_id=REQUEST_ID), metadata=as_agent())

    assert told.refusal.reason == "CEILING_EXCEEDED"
    assert told.refusal.message
    assert told.refusal.refusal.offer[0].resources == ["arn:aws:s3:::reports/2026/*"]


async def test_what_was_never_asked_and_what_was_malformed_is_not_found(gateway: Served) -> None:
    malformed = issue_message("arn:aws:s3")
    await failure(gateway.stub.IssueCredentials(malformed, metadata=as_agent()))

    told = await failure(gateway.stub.GetDecision(GetDecisionRequest(request_id=REQUEST_ID), metadata=as_agent()))

    assert (told.code, told.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_no_answer_but_the_attenuation_holds_a_key(gateway: Served) -> None:
    name = await issued(gateway)
    await gateway.stub.AttenuateCredentials(part_message(name), metadata=as_agent())

    told = await gateway.stub.GetDecision(GetDecisionRequest(request_id=PART_ID), metadata=as_agent())

    assert "secret-" not in str(told)
    assert "token-" not in str(told)
