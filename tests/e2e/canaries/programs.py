"""What unmodified programs and copilots use: the `remit` command, its endpoint, and the MCP server."""

import asyncio
import json
import sys
from typing import Any, Final

from mcp import Client, StdioServerParameters
from tests.e2e.canaries.journey import Journey
from tests.e2e.machines import BIN

import remit

RUNS: Final = frozenset(
    {
        *(
            f"remit {name}"
            for name in ("credential-process", "end", "explain", "init", "login", "logout", "run", "whoami")
        ),
        *("remit endpoint start", "remit endpoint status", "remit endpoint stop", "remit serve-container", "remit-mcp"),
    }
)
READ = ("--purpose", "summarise Q3", "--allow", "read s3://reports/2026/q3/*")
WIDE = ("--purpose", "summarise Q3", "--allow", "read s3://reports/*")


def commands(journey: Journey, _: remit.Gateway) -> None:
    """Each command, where it goes well and where it does not."""
    run, token = journey.remit, journey.machine.folder / "token"
    token.write_text(journey.token())
    for asked in (READ, WIDE):
        run("run", *asked, "--", sys.executable, "-c", "import os; print(len(os.environ))")
        run("credential-process", *asked, secret_output=True)
    run("whoami")
    run("explain", "CEILING_EXCEEDED")
    run("explain", "4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11")
    run("endpoint", "start")
    run("credential-process", "--profile", "reports", secret_output=True)
    run("credential-process", *WIDE, secret_output=True)
    run("endpoint", "status")
    run("end", "--all")
    run("endpoint", "stop")
    token.write_text(journey.tampered())
    run("whoami")
    run("run", *READ, "--", "true")
    run("credential-process", *READ, secret_output=True)
    run("serve-container", *READ, "--port", "1", "--token-file", str(journey.machine.folder / "served"))
    run("login")
    run("logout")
    run("init", "more", *READ, "--dry-run", "--gateway", journey.own.mtls)
    token.write_text(journey.token())


def copilots(journey: Journey, _: remit.Gateway) -> None:
    """A model is given access, is refused, asks what it has, and says what makes no sense."""

    async def talk() -> list[str]:
        server = StdioServerParameters(
            command=str(BIN / "remit-mcp"), args=[], env=journey.machine.environ, cwd=journey.machine.folder
        )
        said: list[str] = []
        async with Client(server, read_timeout_seconds=60) as client:
            listed = await client.list_tools()
            said.append(repr(listed))
            asks: list[tuple[str, dict[str, Any]]] = [
                ("request_aws_access", {"purpose": "summarise Q3", "allow": ["read s3://reports/2026/q3/*"]}),
                ("request_aws_access", {"purpose": "summarise Q3", "allow": ["read s3://reports/*"]}),
                ("request_aws_access", {"purpose": journey.token()[:200], "allow": [journey.token()[:200]]}),
                *((tool.name, {}) for tool in listed.tools if tool.name != "request_aws_access"),
            ]
            for tool, arguments in asks:
                said.append(repr(await client.call_tool(tool, arguments)))
        return said

    journey.printed += asyncio.run(talk())
    journey.commands.add("remit-mcp")
    journey.shows(json.dumps(sorted(journey.commands)))
