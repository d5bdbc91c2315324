"""A tool that says what one call needs gets a session that holds that and no more, for the call alone."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.frameworks.toy import ToyContext, toy_tool
from tests.scripted_gateway import GRANT, REPORTS, SUBJECT_TOKEN, TASK_ID, ScriptedGateway, issued, scripted_gateway

import remit
from remit.frameworks import RunTask
from remit.v1 import credential_service_pb2 as messages
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy

SUMMARY = "s3:GetObject=arn:aws:s3:::reports/2026/q3/summary.md"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def aws(server: ScriptedGateway) -> Iterator[RunTask]:
    with (
        server.connect() as gateway,
        RunTask(gateway, "q3", subject_token=SUBJECT_TOKEN, allow=REPORTS, at_most=SUMMARY) as aws,
    ):
        yield aws


def part(number: int = 7) -> messages.AttenuateCredentialsResponse:
    answer = issued(number, lifetime=timedelta(seconds=60))
    answer.grant.name, answer.grant.parent = f"tasks/{TASK_ID}/grants/{'c' * 26}", GRANT
    return messages.AttenuateCredentialsResponse(grant=answer.grant, credentials=answer.credentials)


def reading(key: str) -> str:
    return f"s3:GetObject=arn:aws:s3:::reports/{key}"


def asked(server: ScriptedGateway) -> list[messages.AttenuateCredentialsRequest]:
    return [one for one in server.requests if isinstance(one, messages.AttenuateCredentialsRequest)]


def test_a_call_works_on_credentials_of_its_own_that_are_dropped_with_it(aws: RunTask, server: ScriptedGateway) -> None:
    server.attenuations += [part(7), part(8)]
    kept: list[Any] = []

    def read(session: Any, key: str) -> str:
        kept.append((key, session))
        return str(session.get_credentials().access_key)

    async def read_later(session: Any, key: str) -> str:
        kept.append((key, session))
        return str(session.get_credentials().access_key)

    one = toy_tool(read, allow=reading, duration=20)(ToyContext(aws), key="2026/q3/summary.md")
    other = asyncio.run(toy_tool(read_later, allow=[SUMMARY])(ToyContext(aws), key="any"))

    first, second = asked(server)
    assert (one, other) == ("ASIAREMIT00000000007", "ASIAREMIT00000000008")
    assert first.name == second.name == GRANT
    assert list(first.intent.permissions[0].resources) == ["arn:aws:s3:::reports/2026/q3/summary.md"]
    assert (first.requested_duration.seconds, second.HasField("requested_duration")) == (20, False)
    for _, session in kept:
        with pytest.raises(remit.TaskOver):
            session.get_credentials().get_frozen_credentials()
    assert aws.task().credentials().access_key_id == "ASIAREMIT00000000001"


def test_what_the_run_does_not_hold_is_told_as_what_to_ask_for(aws: RunTask, server: ScriptedGateway) -> None:
    refused = Denied(Reason.CEILING_EXCEEDED, "the grant does not hold it", Refusal(Remedy.GIVE_UP))
    server.attenuations += [refused, refused]

    def read(session: Any, key: str) -> str:
        return f"{session}{key}"

    tool = toy_tool(read, allow=reading)
    within = json.loads(tool(ToyContext(aws), key="2026/q3/summary.md"))
    beyond = json.loads(tool(ToyContext(aws), key="hr/salaries.csv"))

    assert (within["status"], within["ask_for"]) == ("refused", [SUMMARY])
    assert within["ways"].keys() == {"ask", "give_up"}
    assert (beyond["status"], beyond["ways"].keys()) == ("refused", {"give_up"})


def test_a_denial_of_what_the_tool_set_itself_is_not_to_be_asked_for(aws: RunTask, server: ScriptedGateway) -> None:
    server.attenuations.append(part())

    def read(session: Any) -> str:
        message = f"not authorized to perform: s3:PutObject on resource: arn:aws:s3:::reports/{bool(session)}"
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": message}}, "PutObject")

    told = json.loads(toy_tool(read, allow=SUMMARY)(ToyContext(aws)))

    assert (told["status"], told["remedy"]) == ("denied", "GIVE_UP")
    assert "this tool itself set less" in told["message"]


def test_an_argument_that_makes_no_permission_is_the_models_to_correct(aws: RunTask, server: ScriptedGateway) -> None:
    def read(session: Any, key: str) -> str:
        return f"{session}{key}"

    told = json.loads(toy_tool(read, allow=lambda key: f"s3:{key}=arn:aws:s3:::b/k")(ToyContext(aws), key="no action"))

    assert (told["status"], told["reason"]) == ("invalid", "INVALID_REQUEST")
    assert asked(server) == []


def test_a_need_of_what_the_tool_does_not_take_is_refused_where_it_is_made() -> None:
    def read(session: Any) -> str:
        return str(session)

    def ask(aws: RunTask) -> str:
        return str(aws)

    with pytest.raises(TypeError, match="no parameter `key`"):
        toy_tool(read, allow=reading)
    with pytest.raises(TypeError, match="no parameter `session`"):
        toy_tool(ask, allow=SUMMARY)


def test_the_keys_of_a_part_that_the_tool_took_itself_are_kept_from_the_model_too(
    aws: RunTask, server: ScriptedGateway
) -> None:
    server.attenuations.append(part())

    def read(aws: RunTask) -> str:
        with aws.attenuated(SUMMARY) as narrower:
            return narrower.credentials().secret_access_key

    assert json.loads(toy_tool(read)(ToyContext(aws)))["reason"] == "KEYS_IN_RESULT"
