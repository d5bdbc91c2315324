"""Does what a copilot does with remit-mcp: asks for access, uses it with boto3, is denied, has that explained, ends.

python copilot.py .mcp.json             (or .vscode/mcp.json)
"""

# ruff: noqa: T201 - a command-line program prints

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import TextContent

S3 = "import boto3, sys; s3 = boto3.client('s3'); "
READ = f"{S3} print(s3.get_object(Bucket='reports', Key=sys.argv[1])['Body'].read().decode())"
WRITE = f"{S3} s3.put_object(Bucket='reports', Key=sys.argv[1], Body=b'# Q3')"


def server(file: Path) -> StdioServerParameters:
    """Returns how the client starts the server, from Claude Code's file or VS Code's."""
    configured = json.loads(file.read_text())
    told = (configured.get("mcpServers") or configured["servers"])["remit"]
    return StdioServerParameters(command=told["command"], args=told["args"], env=dict(os.environ))


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Calls a tool as the model would, and shows what the model is shown."""
    result = await client.call_tool(tool, arguments)
    print(f"\n> {tool} {json.dumps(arguments)}")
    print("\n".join(part.text for part in result.content if isinstance(part, TextContent)))
    return dict(result.structured_content or {})


def use(code: str, key: str, access: dict[str, Any]) -> str:
    """Runs a tool that knows nothing of Remit, with the environment of the answer; returns what it printed."""
    environ = {**os.environ, **access["environment"]}
    command = [sys.executable, "-c", code, key]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
    said = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
    print(f"\n$ python {'read' if code == READ else 'write'}.py {key}\n{said}")
    return said


async def main(file: Path) -> None:
    """Goes through one piece of work."""
    async with Client(server(file)) as client:
        everything = {"purpose": "summarise Q3", "allow": ["read s3://reports/*"]}
        refused = await call(client, "request_aws_access", **everything)
        print(f"\n(refused with {refused['reason']}; it would get {refused['offer']}, and asks for less than that)")

        quarter = {"purpose": "summarise Q3", "allow": ["read s3://reports/2026/q3/*"]}
        access = await call(client, "request_aws_access", **quarter)
        await asyncio.to_thread(use, READ, "2026/q3/summary.md", access)

        denial = await asyncio.to_thread(use, WRITE, "drafts/q3.md", access)
        await call(client, "explain_denial", denial=denial, handle=access["handle"])
        await call(client, "end_task", handle=access["handle"])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
