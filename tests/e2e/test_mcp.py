"""The MCP server as a copilot runs it: over pipes, with the official client, on the live sandbox."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, TextContent
from tests.e2e.machines import BIN, Machine, machine

from remit_sandbox.sandbox import Sandbox

REPORTS = "s3.read_prefix bucket=reports prefix=2026/q3/"
READ = """
import boto3, sys
s3 = boto3.Session().client("s3")
for bucket, key in (("reports", "2026/q3/summary.md"), ("reports", "2026/q2/summary.md")):
    try:
        print(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines()[0])
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def mine(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> Machine:
    return machine(sandbox, tmp_path, alice_token)


@asynccontextmanager
async def copilot(mine: Machine, **options: Any) -> AsyncIterator[Client]:
    """Connects as a copilot that starts the server itself."""
    server = StdioServerParameters(command=str(BIN / "remit-mcp"), args=[], env=mine.environ, cwd=mine.folder)
    async with Client(server, **{"read_timeout_seconds": 60, **options}) as client:
        yield client


async def asked(client: Client, tool: str, **arguments: Any) -> tuple[bool, dict[str, Any], str]:
    """Calls a tool; returns whether it went well, its value and its text."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return not result.is_error, dict(result.structured_content or {}), content.text


def config_file(access: dict[str, Any]) -> Path:
    return Path(access["environment"]["AWS_CONFIG_FILE"])


def is_there(access: dict[str, Any]) -> bool:
    return config_file(access).exists()


def read_with_mode(access: dict[str, Any]) -> tuple[str, int]:
    """Returns what is in the file of profiles, and its mode."""
    file = config_file(access)
    return file.read_text(), file.stat().st_mode & 0o777


def tool_of_aws(mine: Machine, environment: dict[str, str], code: str = READ) -> "subprocess.CompletedProcess[str]":
    """Runs boto3 as any program of this user with that profile."""
    return mine.run(sys.executable, "-c", code, environ=environment)


async def test_a_granted_task_is_a_profile_that_reads_what_it_may_and_nothing_else(mine: Machine) -> None:
    async with copilot(mine) as client:
        good, access, text = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        done = tool_of_aws(mine, access["environment"])

    assert good, text
    first, second = done.stdout.splitlines()
    assert first.startswith("#")
    assert "AccessDenied" in second


async def test_no_answer_holds_a_key(mine: Machine) -> None:
    async with copilot(mine) as client:
        _, access, text = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        written, mode = read_with_mode(access)
        command = written.split("credential_process = ")[-1].splitlines()[0]
        keys = json.loads(mine.run(*command.split()).stdout)

    assert mode == 0o600
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
        assert keys[name] not in json.dumps(access) + text
        assert keys[name] not in written


async def test_a_copilot_that_goes_leaves_no_profile_and_no_task(mine: Machine) -> None:
    async with copilot(mine) as client:
        _, access, _ = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        was_there = is_there(access)

    assert was_there
    assert not is_there(access)


async def test_a_refusal_says_what_stopped_it_and_what_would_be_granted(mine: Machine) -> None:
    everything = "s3:GetObject=arn:aws:s3:::reports/*"
    async with copilot(mine) as client:
        good, problem, text = await asked(client, "request_aws_access", purpose="read all", allow=[everything])
        again, _, _ = await asked(client, "request_aws_access", purpose="read less", allow=problem["offer"])

    assert not good
    assert (problem["status"], problem["reason"], problem["remedy"]) == ("refused", "CEILING_EXCEEDED", "NARROW")
    assert problem["stopped"][0].startswith("s3:GetObject on ")
    assert problem["reason"] in text
    assert problem["ways"]["narrow"] == "call request_aws_access with allow set to offer, or with narrow: true"
    assert problem["ways"]["narrow"] in text
    assert "error.offer" not in text
    assert again


async def test_one_text_for_allow_is_a_list_of_one(mine: Machine) -> None:
    async with copilot(mine) as client:
        good, _, text = await asked(client, "request_aws_access", purpose="summarise Q3", allow=REPORTS)

    assert good, text


async def test_malformed_arguments_are_told_by_field_with_an_example(mine: Machine) -> None:
    async with copilot(mine) as client:
        wrong = await asked(client, "request_aws_access", purpose="x" * 600, allow=7, labels={"secret-key": 1})
        long = await asked(client, "end_task", handle="h" * 65)
        missing = await asked(client, "preview_aws_access", purpose="x")

    for good, problem, text in (wrong, long, missing):
        assert not good
        assert (problem["reason"], problem["remedy"]) == ("INVALID_REQUEST", "CORRECT")
        assert text.startswith("INVALID_REQUEST: ")
        assert "pydantic" not in text
        assert "such as" in text
    assert all(field in wrong[2] for field in ("purpose: ", "allow: ", "labels: "))
    assert "secret-key" not in wrong[2]
    assert "allow: " in missing[2]


async def test_a_preview_issues_nothing(mine: Machine) -> None:
    async with copilot(mine) as client:
        yes = await asked(client, "preview_aws_access", purpose="summarise Q3", allow=[REPORTS])
        no = await asked(client, "preview_aws_access", purpose="pay", allow=["s3:GetObject=arn:aws:s3:::payroll/*"])
        _, caller, _ = await asked(client, "whoami")

    assert yes[1]["would_issue"]
    assert no[0]
    assert not no[1]["would_issue"]
    assert no[1]["problem"]["reason"]
    assert caller["tasks"] == []


async def test_an_ended_task_gives_nothing_more(mine: Machine) -> None:
    async with copilot(mine) as client:
        _, access, _ = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        ended, told, _ = await asked(client, "end_task", handle=access["handle"])
        again = await asked(client, "end_task", handle=access["handle"])
        done = tool_of_aws(mine, access["environment"])

    assert ended
    assert told["ended"]
    assert not again[0]
    assert (again[1]["reason"], again[1]["remedy"]) == ("NOT_FOUND", "CORRECT")
    assert again[1]["ways"]["correct"] == "whoami lists the tasks that are held"
    assert "ProfileNotFound" in done.stderr + done.stdout


async def test_a_denial_of_aws_is_explained_with_what_to_ask_for(mine: Machine) -> None:
    async with copilot(mine) as client:
        _, access, _ = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        denial = tool_of_aws(mine, access["environment"]).stdout.splitlines()[1]
        good, explained, text = await asked(client, "explain_denial", denial=denial, handle=access["handle"])
        reason, _, told = await asked(client, "explain_denial", denial="CEILING_EXCEEDED")
        nonsense, problem, _ = await asked(client, "explain_denial", denial="hm")

    assert good, text
    assert explained["reason"] == "AWS_DENIED"
    assert explained["what_to_do"]
    assert not any(word in text for word in ("--allow", "remit whoami"))
    assert reason
    assert told.startswith("CEILING_EXCEEDED: ")
    assert "narrow: true" in told
    assert not any(word in told for word in ("exit code", "--narrow", "narrow=True"))
    assert not nonsense
    assert problem["reason"] == "INVALID_REQUEST"


async def test_whoami_says_which_agent_works_for_whom_and_what_is_held(mine: Machine) -> None:
    async with copilot(mine) as client:
        _, access, _ = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        good, caller, text = await asked(client, "whoami")

    assert good, text
    assert caller["agent"] == "spiffe://remit.sandbox/agent/copilot"
    assert caller["user"] == "alice"
    assert [task["handle"] for task in caller["tasks"]] == [access["handle"]]


async def test_a_text_that_is_no_intent_is_told_with_what_is(mine: Machine) -> None:
    async with copilot(mine) as client:
        good, problem, text = await asked(client, "request_aws_access", purpose="x", allow=["reed s3://reports/*"])

    assert not good
    assert (problem["reason"], problem["remedy"]) == ("INVALID_REQUEST", "CORRECT")
    assert "read s3://" in text


async def test_a_gateway_that_is_not_there_is_told_with_what_to_check(
    sandbox: Sandbox, tmp_path: Path, alice_token: str
) -> None:
    async with copilot(machine(sandbox, tmp_path, alice_token, target="127.0.0.1:9")) as client:
        good, problem, _ = await asked(client, "request_aws_access", purpose="x", allow=[REPORTS])

    assert not good
    assert (problem["reason"], problem["remedy"]) == ("UNAVAILABLE", "RETRY_LATER")


async def test_the_standing_profile_is_the_task_that_was_granted_last(mine: Machine) -> None:
    async with copilot(mine) as client:
        _, access, _ = await asked(client, "request_aws_access", purpose="summarise Q3", allow=[REPORTS])
        done = tool_of_aws(mine, {**access["environment"], "AWS_PROFILE": "remit"})

    assert done.stdout.startswith("#"), done.stderr


def test_the_command_says_what_it_is() -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        [str(BIN / "remit-mcp"), "--help"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )

    assert "MCP server" in done.stdout
