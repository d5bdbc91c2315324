"""examples/mcp-copilot: the script goes through a copilot's work by either configuration, on the live sandbox."""

import json
import os
import sys
from pathlib import Path

import pytest
from tests.e2e.examples.platform_gateway import EXAMPLES, checkout
from tests.e2e.machines import BIN, machine

from remit_sandbox.sandbox import Sandbox

HERE = EXAMPLES / "mcp-copilot"
FILES = (".mcp.json", ".vscode/mcp.json")


@pytest.mark.parametrize("file", FILES)
def test_a_copilot_is_refused_narrows_reads_is_denied_and_ends(
    file: str, sandbox: Sandbox, tmp_path: Path, alice_token: str
) -> None:
    mine = machine(sandbox, tmp_path, alice_token)
    project = checkout("mcp-copilot", tmp_path)
    path = {"PATH": f"{BIN}:{os.environ['PATH']}"}

    done = mine.run(sys.executable, str(project / "copilot.py"), str(project / file), environ=path)

    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    places = [
        told.index(words)
        for words in (
            "CEILING_EXCEEDED",
            "s3:GetObject=arn:aws:s3:::reports/2026/*",
            "$ python read.py 2026/q3/summary.md\n# Q3\nRevenue 857",
            "$ python write.py drafts/q3.md\n",
            "AccessDenied",
            "> explain_denial",
            "NOT_ALLOWED: AWS refused s3:PutObject",
            "call request_aws_access with it in allow: 's3:PutObject=ARN'",
            "> end_task",
        )
    ]
    assert places == sorted(places), told
    assert alice_token not in told + done.stderr
    assert "ASIA" not in told
    assert list((tmp_path / "runtime" / "remit").glob("*.aws")) == []


def test_both_configurations_start_the_same_and_hold_no_setting_of_anybody() -> None:
    claude, code = (json.loads((HERE / file).read_text()) for file in FILES)

    assert claude["mcpServers"] == code["servers"]
    assert set(claude["mcpServers"]["remit"]) == {"type", "command", "args"}
