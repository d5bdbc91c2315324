"""Unmodified tools in a run that lasts longer than its credentials."""

from pathlib import Path

import pytest
from tests.e2e.client_world import brief_policies
from tests.e2e.gateways import own_gateway
from tests.e2e.machines import machine
from tests.e2e.sts_relay import sts_relay
from tests.e2e.test_gone_with_the_task import until
from tests.e2e.unmodified.hand import hand
from tests.e2e.unmodified.tools import LIGHT, Missing, Tool

from remit_sandbox.sandbox import Sandbox

pytestmark = pytest.mark.timeout(300)
MINE = ("reports", "2026/q3/summary.md")
STAYS = {"boto3", "JavaScript SDK v3"}  # whose programs read once more when a file is there


def here(tool: Tool) -> bool:
    """Says whether a tool is here; another test says how it is had."""
    try:
        tool.find()
    except Missing:
        return False
    return True


def test_tools_go_on_when_the_credentials_that_they_began_with_are_over(
    sandbox: Sandbox, tmp_path: Path, alice_token: str
) -> None:
    (tmp_path / "gateway").mkdir()
    policies = str(brief_policies(tmp_path / "brief-policies"))
    tools = {tool.name: tool.reading(sandbox.aws.endpoint_url, *MINE) for tool in LIGHT if here(tool)}
    again = tmp_path / "again"
    with sts_relay(sandbox.aws.endpoint_url) as relay:
        values = {"endpoint_url": relay.url, "bundle": policies}
        with (
            own_gateway(sandbox, tmp_path / "gateway", values) as gateway,
            hand(machine(sandbox, tmp_path, alice_token, target=gateway.mtls)) as shell,
        ):
            staying = {name: shell.starts([*line, str(again)]) for name, line in tools.items() if name in STAYS}
            until(lambda: all("Revenue 857" in shell.shown_by(number) for number in staying.values()))
            fetched = relay.session_names.count(shell.task_id)

            until(lambda: relay.session_names.count(shell.task_id) >= fetched + 2)  # each at two thirds of a life
            later = {name: shell.runs(line) for name, line in tools.items() if name not in STAYS}
            again.touch()
            stayed = {name: shell.waits(number) for name, number in staying.items()}

    assert {name: shown.text for name, shown in (later | stayed).items() if shown.code} == {}
    assert all("Revenue 857" in shown.stdout for shown in later.values())
    assert all("again # Q3\nRevenue 857" in shown.stdout for shown in stayed.values())
