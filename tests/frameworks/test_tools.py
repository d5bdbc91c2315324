"""A function as a tool: the model sees its parameters, it works on the run's session, its failures are answers."""

import asyncio
import inspect
import json
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.frameworks.toy import THREADED, ToyContext, toy_tool
from tests.scripted_gateway import (
    REPORTS,
    SECRET_KEY,
    SESSION_TOKEN,
    SUBJECT_TOKEN,
    TASK_ID,
    ScriptedGateway,
    scripted_gateway,
)

from remit.frameworks import RunTask
from remit.frameworks.core.asking import request_aws_access
from remit.frameworks.core.tools import run_task_of, tool_function
from remit_server.domain.errors import Denied, Reason, Refusal, Remedy

if TYPE_CHECKING:
    import boto3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def aws(server: ScriptedGateway) -> Iterator[RunTask]:
    limits = {"allow": [REPORTS], "at_most": "s3:PutObject=arn:aws:s3:::reports/drafts/*"}
    with server.connect() as gateway, RunTask(gateway, "q3", subject_token=SUBJECT_TOKEN, **limits) as aws:  # type: ignore[arg-type]
        yield aws


def keys_of(session: Any) -> str:
    return str(session.get_credentials().get_frozen_credentials().secret_key)


def test_the_model_sees_the_functions_own_parameters_and_the_framework_its_context() -> None:
    def read(session: "boto3.Session", key: str, aws: RunTask, lines: "typing.Annotated[int, 'how many']" = 3) -> str:
        """Reads a report."""
        return f"{session}{aws}{key}{lines}"

    tool = toy_tool(read)

    assert list(inspect.signature(tool).parameters) == ["ctx", "key", "lines"]
    assert typing.get_type_hints(tool, include_extras=True) == {
        "ctx": ToyContext,
        "key": str,
        "lines": typing.Annotated[int, "how many"],
        "return": str,
    }
    assert (tool.__name__, tool.__doc__) == ("read", "Reads a report.")


def test_a_tool_is_given_a_session_and_what_else_it_names(aws: RunTask, server: ScriptedGateway) -> None:
    seen: list[Any] = []

    def read(key: str, context: ToyContext, session: Any, aws: RunTask, lines: int = 3) -> str:
        seen.extend([context, keys_of(session), aws, lines])
        return f"{key} read"

    context = ToyContext(aws)
    result = toy_tool(read)(context, key="summary.md")

    assert result == "summary.md read"
    assert seen == [context, SECRET_KEY, aws, 3]
    assert len(server.issues) == 1


@pytest.mark.parametrize("make", [toy_tool, lambda function: tool_function(THREADED, function)])
def test_coroutines_stay_coroutines(aws: RunTask, make: Callable[[Any], Any]) -> None:
    async def read(session: Any) -> str:
        return keys_of(session)[:6]

    tool = make(read)

    assert inspect.iscoroutinefunction(tool)
    assert asyncio.run(tool(ToyContext(aws))) == "secret"


def test_where_a_framework_calls_plain_functions_on_its_loop_they_run_in_a_thread(aws: RunTask) -> None:
    def where(session: Any) -> bool:
        return bool(session) and threading.current_thread() is threading.main_thread()

    tool = tool_function(THREADED, where)

    assert asyncio.run(tool(ToyContext(aws))) is False


def test_the_runs_task_is_found_in_a_context_of_the_users_own(aws: RunTask) -> None:
    class Own:
        def __init__(self) -> None:
            self.aws = aws

    found = [run_task_of([place]) for place in (aws, Own(), {"aws": aws})]

    assert found == [aws, aws, aws]
    with pytest.raises(RuntimeError, match="was given no RunTask"):
        run_task_of([None, {}, object()])


def test_a_refusal_is_the_tools_result_and_the_framework_says_in_which_shape(
    aws: RunTask, server: ScriptedGateway
) -> None:
    server.issue_answers.append(Denied(Reason.POLICY_DENIED, "not alice", Refusal(Remedy.GIVE_UP)))

    def read(session: Any) -> str:
        return str(session)

    answer = json.loads(toy_tool(read)(ToyContext(aws)))

    assert (answer["status"], answer["reason"], answer["message"]) == ("refused", "POLICY_DENIED", "not alice")


def test_the_end_of_the_task_is_told(aws: RunTask) -> None:
    def read(session: Any) -> str:
        aws.task().end()
        return keys_of(session)

    assert json.loads(toy_tool(read)(ToyContext(aws)))["status"] == "over"


def secret(session: Any) -> str:
    return keys_of(session)


def headers(session: Any) -> dict[str, list[str]]:
    return {"headers": ["x-amz-security-token", session.get_credentials().token]}


def link(session: Any) -> str:
    return str(session.client("s3").generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"}))


def failing(session: Any) -> None:
    raise ValueError(f"403 for ...?X-Amz-Security-Token={session.get_credentials().token}&X-Amz-Expires")


def of_the_run(aws: Any) -> str:
    return keys_of(aws.boto3_session())


def link_of_the_run(aws: Any) -> str:
    return link(aws.boto3_session())


def of_the_runs_task(aws: Any) -> str:
    return str(aws.task().credentials().secret_access_key)


def of_the_run_beside_a_session(session: Any, aws: Any) -> str:
    return link(session) if not aws else of_the_run(aws)


LEAKS = [secret, headers, link, failing, of_the_run, link_of_the_run, of_the_runs_task]


@pytest.mark.parametrize("leak", [*LEAKS, of_the_run_beside_a_session])
def test_keys_in_a_result_or_in_an_error_are_kept_from_the_model(aws: RunTask, leak: Callable[[Any], Any]) -> None:
    told = toy_tool(leak)(ToyContext(aws))

    assert json.loads(told)["reason"] == "KEYS_IN_RESULT"
    assert SECRET_KEY not in told
    assert SESSION_TOKEN not in told


def test_other_errors_and_results_pass_as_they_are(aws: RunTask) -> None:
    def fails(session: Any) -> None:
        raise LookupError(repr(session))

    def returns(session: Any) -> Any:
        return {"read": bool(session)}

    with pytest.raises(LookupError):
        toy_tool(fails)(ToyContext(aws))
    assert toy_tool(returns)(ToyContext(aws)) == {"read": True}


def test_functions_that_are_no_tools_are_refused_where_they_are_made() -> None:
    def nothing(key: str) -> str:
        return key

    def yields(session: Any) -> Iterator[Any]:
        yield session

    def any_number(session: Any, *keys: str) -> str:
        return f"{session}{keys}"

    def named_alike(session: Any, ctx: str) -> str:
        return f"{session}{ctx}"

    for function, why in ((nothing, "takes neither"), (yields, "yields"), (any_number, "name"), (named_alike, "ctx")):
        with pytest.raises(TypeError, match=why):
            toy_tool(function)


def test_the_model_asks_for_more_and_hears_what_it_has(aws: RunTask, server: ScriptedGateway) -> None:
    ask = toy_tool(request_aws_access)
    wish = "s3:PutObject=arn:aws:s3:::reports/drafts/a.md"

    listed = json.loads(ask(ToyContext(aws), allow=[]))
    beyond = json.loads(ask(ToyContext(aws), allow=["s3:PutObject=arn:aws:s3:::reports/*"], why="all"))
    wrong = json.loads(ask(ToyContext(aws), allow=["everything"]))
    granted = json.loads(ask(ToyContext(aws), allow=[wish], why="a draft"))

    may_ask = ["s3:PutObject=arn:aws:s3:::reports/drafts/*", "s3.read_prefix bucket=reports prefix=2026/q3/"]
    assert listed["may_ask_at_most"] == beyond["may_ask_at_most"] == may_ask
    assert (beyond["reason"], wrong["status"]) == ("RUN_LIMIT_EXCEEDED", "invalid")
    assert (granted["status"], granted["allow"]) == ("granted", [may_ask[1], wish])
    assert [request.task_id for request in server.issues] == [""]
    assert aws.task().id == TASK_ID


def test_a_framework_that_is_missing_is_named_with_what_to_install() -> None:
    with pytest.raises(ImportError, match="pip install strands-agents"):
        __import__("remit.frameworks.strands")
