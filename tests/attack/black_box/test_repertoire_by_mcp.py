"""The same repertoire, told to a model's own MCP server: what is asked comes to the same as without one."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult
from tests.attack.black_box.broker import COPILOT, WORLD, Broker, Scene
from tests.attack.black_box.repertoire import ATTACKS, CORPUS, beyond_the_world, expected
from tests.e2e.watched import BIN, plain_environment

TOLD = {"name", "allow", "use", "purpose", "labels", "seconds", "narrow", "expect"}
ONE_CALL = {
    name: steps
    for name, steps in ATTACKS.items()
    if all(step.keys() <= TOLD and "\x00" not in str(step) for step in steps)
}


@asynccontextmanager
async def model(scene: Scene, broker: Broker, folder: Path) -> AsyncIterator[Client]:
    """Starts the MCP server as the copilot's host does, for alice."""
    for name, token in (("agent", scene.of_agent(COPILOT)), ("alice", scene.of_user("alice"))):
        (folder / name).write_text(token)
        (folder / name).chmod(0o600)
    settings = folder / "client.toml"
    gateway = {"target": broker.address, "ca_file": str(scene.authority.bundle_path), "bearer": f"file:{folder}/agent"}
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in gateway.items()]
    settings.write_text(f'[gateway]\n{"".join(lines)}[subject]\ntoken = "file:{folder}/alice"\n')
    settings.chmod(0o600)
    own = {"REMIT_CONFIG": str(settings), "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    environ = plain_environment({**own, "XDG_STATE_HOME": str(folder / "state")})
    server = StdioServerParameters(command=str(BIN / "remit-mcp"), args=[], env=environ, cwd=folder)
    async with Client(server, read_timeout_seconds=60) as client:
        yield client


def told(step: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a step as the tool takes it."""
    texts = step.get("allow", [] if "use" in step else [CORPUS["honest"]])
    uses = [
        " ".join([name, *(f"{key}={value}" for key, value in of.items())]) for name, of in step.get("use", {}).items()
    ]
    allow = [text.replace(" on ", "=").replace(" ", ",") for text in texts]
    usual = {
        "purpose": step.get("purpose", "summarise Q3"),
        "allow": [*allow, *uses],
        "narrow": step.get("narrow", False),
    }
    more = {"labels": step.get("labels"), "duration_seconds": step.get("seconds")}
    return {**usual, **{key: value for key, value in more.items() if value is not None}}


async def test_a1_a_model_gains_nothing_by_what_it_tells_its_mcp_server(
    broker: Broker, scene: Scene, tmp_path: Path
) -> None:
    if type(broker).__name__ != "RemitBroker":
        pytest.skip("this broker has no MCP server of Remit's")
    wrong, calls = [], 0
    async with model(scene, broker, tmp_path) as client:
        for name, step in [(name, step) for name, steps in ONE_CALL.items() for step in steps]:
            before = len(scene.sts_log())
            result = await client.call_tool("request_aws_access", told(step))
            assert isinstance(result, CallToolResult)
            sent = scene.sts_log()[before:]
            was_given, may_be_given = not result.is_error, bool(expected(step) & {"given", "same"})
            beyond = [
                found for each in sent if (found := beyond_the_world(each, COPILOT, WORLD.people["home", "alice"]))
            ]
            if was_given != may_be_given or bool(sent) != was_given or beyond:
                wrong.append((name, step, str(result.content)[:200], beyond))
            calls += 1

    assert wrong == []
    assert calls > 40
