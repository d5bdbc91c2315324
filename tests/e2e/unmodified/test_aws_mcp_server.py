"""AWS's own MCP server as it is shipped, on a profile of Remit's: it does what a task allows, and nothing else."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult, TextContent
from tests.e2e.machines import Machine, machine
from tests.e2e.test_mcp import REPORTS, asked, copilot
from tests.e2e.unmodified.service_reference import service_reference
from tests.e2e.unmodified.tools import ROOT, profiles_file

from remit_sandbox.sandbox import Sandbox

pytestmark = [
    pytest.mark.skipif(os.environ.get("REMIT_EXTENDED") != "1", reason="part of make test-extended: a large install"),
    pytest.mark.timeout(300),
]
SERVER = ROOT / ".venv-tools-aws_api_mcp" / "bin" / "awslabs.aws-api-mcp-server"
LISTS = "s3.list_prefix bucket=reports prefix=2026/q3/"


@pytest.fixture
def mine(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> Iterator[Machine]:
    if not SERVER.exists():
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            pytest.fail("no aws-api-mcp-server: make .venv-tools-aws_api_mcp/.ready")
        pytest.skip("no aws-api-mcp-server: make .venv-tools-aws_api_mcp/.ready")
    (tmp_path / "work").mkdir()
    mine = machine(sandbox, tmp_path, alice_token)
    with service_reference(sandbox.authority) as led_there:
        yield Machine(mine.folder, {**mine.environ, **led_there})


@asynccontextmanager
async def aws_server(mine: Machine, config: Path, profile: str) -> AsyncIterator[Client]:
    """Starts AWS's server, told of a file of profiles and of the one to use."""
    settings = {
        "AWS_CONFIG_FILE": str(config),
        "AWS_API_MCP_PROFILE_NAME": profile,
        "AWS_API_MCP_WORKING_DIR": str(mine.folder / "work"),
        "AWS_API_MCP_TELEMETRY": "false",
    }
    server = StdioServerParameters(
        command=str(SERVER), args=[], env={**mine.environ, **settings}, cwd=mine.folder / "work"
    )
    async with Client(server, read_timeout_seconds=120) as client:
        yield client


async def told(client: Client, *command: str) -> str:
    """Has AWS's server call AWS, and returns what it tells the model."""
    result = await client.call_tool("call_aws", {"cli_command": " ".join(("aws", *command))})
    assert isinstance(result, CallToolResult)
    return "".join(content.text for content in result.content if isinstance(content, TextContent))


def reads(mine: Machine, quarter: str) -> tuple[str, ...]:
    key = f"2026/{quarter}/summary.md"
    return ("s3api", "get-object", "--bucket", "reports", "--key", key, str(mine.folder / "work" / f"{quarter}.md"))


def kept(mine: Machine, quarter: str) -> str:
    """Returns what the server wrote of a quarter, nothing where it wrote nothing."""
    file = mine.folder / "work" / f"{quarter}.md"
    return file.read_text() if file.exists() else ""


async def test_the_profile_of_remit_mcp_is_the_task_that_the_copilot_was_granted_last(mine: Machine) -> None:
    config = mine.folder / "runtime" / "remit" / "mcp-default.aws"
    listing = ("s3api", "list-objects-v2", "--bucket", "reports", "--prefix")
    async with copilot(mine) as remit, aws_server(mine, config, "remit") as aws:
        before = await told(aws, *reads(mine, "q3"))
        good, access, text = await asked(remit, "request_aws_access", purpose="summarise Q3", allow=[REPORTS, LISTS])
        assert good, text
        listed, not_listed = await told(aws, *listing, "2026/q3/"), await told(aws, *listing, "2026/q2/")
        answer = await told(aws, *reads(mine, "q3"))
        summary = kept(mine, "q3")
        refused = await told(aws, *reads(mine, "q2"))
        await asked(remit, "end_task", handle=access["handle"])
        after = await told(aws, *reads(mine, "q3"))

    assert "could not be found" in before
    assert "2026/q3/summary.md" in listed
    assert "AccessDenied" in not_listed
    assert "Revenue 857" in summary, answer
    assert "AccessDenied" in refused
    assert "NOT_FOUND: no task with this handle or id is held here" in after
    assert kept(mine, "q2") == ""


@pytest.fixture
def _endpoint(mine: Machine) -> Iterator[None]:
    """Holds the profile's task: this server reads a session's key, secret and token by three calls, each a new one."""
    started = mine.remit("endpoint", "start")
    assert started.returncode == 0, started.stderr
    yield
    mine.remit("endpoint", "stop")


@pytest.mark.usefixtures("_endpoint")
async def test_the_profile_of_remit_init_gives_it_its_task_and_tells_the_model_why_there_is_none(mine: Machine) -> None:
    config = profiles_file(mine.folder, "reports", "payroll")
    async with aws_server(mine, config, "reports") as aws:
        answer = await told(aws, *reads(mine, "q3"))
        summary = kept(mine, "q3")
        refused = await told(aws, *reads(mine, "q2"))
        none = await told(aws, *reads(mine, "q3"), "--profile", "payroll")

    assert "Revenue 857" in summary, answer
    assert "AccessDenied" in refused
    assert "CEILING_EXCEEDED: " in none
    assert kept(mine, "q2") == ""
