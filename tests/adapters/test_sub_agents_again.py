"""What sub-agents were given, refused and renewed is decided again from the record, byte for byte, and explained."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import permission
from tests.property.test_time_travel_laws import PATIENT
from tests.recorded_world import Recorded, again, default_bundle, recorded
from typer.testing import CliRunner

from remit_server.adapters.rego.embedded import EmbeddedRego
from remit_server.application.policy.deciding.time_travel import Verdict
from remit_server.cli.main import app
from remit_server.domain.errors import Denied
from remit_server.domain.identity import Actor, ActorKind
from remit_server.domain.task import Task

CRAWLER = "spiffe://remit.sandbox/agent/crawler"
ONE = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.md")
ELSEWHERE = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q2/*")


def with_a_crawler(house: Recorded) -> None:
    """Makes the crawler known, and alice's token for it."""
    gateway = house.gateway
    gateway.identity.actors["crawler"] = Actor(CRAWLER, ActorKind.SPIFFE, "spiffe://remit.sandbox", "crawler")
    known = gateway.identity.subjects["alice@copilot"]

    gateway.identity.subjects["alice@crawler"] = replace(known, actor=gateway.identity.actors["crawler"])


async def worked(house: Recorded) -> Any:
    """Has the copilot hand on, and the crawler be given, refused, and renewed; returns the crawler's grant."""
    with_a_crawler(house)
    gateway = house.gateway
    await house.issues("alice", "reads")
    (above,) = house.grants
    task: Task = await gateway.delegate(gateway.delegation(above.task_id, "crawler"))
    wish = {"agent": "crawler", "user": "alice", "task_id": task.task_id}
    issued: Any = await gateway.issue(gateway.request(ONE, **wish))
    with pytest.raises(Denied, match="the agent above may do itself"):
        await gateway.issue(gateway.request(ELSEWHERE, **wish))
    await gateway.preview(gateway.ask(ONE, **wish))
    house.waits(60)
    await house.renews(0)
    await gateway.renew(gateway.renewal(issued.grant, agent="crawler"))
    await house.issues("alice", "reads two", task_id=above.task_id)
    return issued.grant


async def history(place: Path) -> Any:
    """Lives it on a real engine; returns the crawler's grant."""
    engine = await EmbeddedRego.start(default_bundle()[0], PATIENT)
    try:
        async with recorded(place, engine) as house:
            return await worked(house)
    finally:
        await engine.close()


def explained(place: Path, name: str, *options: str) -> str:
    return CliRunner().invoke(app, ["audit", "explain", name, "--database", str(place), *options]).stdout


def test_it_comes_out_the_same_and_says_who_handed_it_on(tmp_path: Path) -> None:
    place = tmp_path / "remit.sqlite3"
    grant = asyncio.run(history(place))

    outcomes = again(place)
    told, words = json.loads(explained(place, grant.name, "--json")), explained(place, grant.name)

    assert {one.verdict for one in outcomes} == {Verdict.SAME}, [one for one in outcomes if one.differences]
    assert len(outcomes) == 7
    above = grant.parent_name.split("/grants/")[0]
    assert told["handed_on_by"] == {"agent": "spiffe://remit.sandbox/agent/copilot", "task": above, "depth": 1}
    assert (told["parent"], told["purpose"]) == (grant.parent_name, "read the reports")
    assert f"handed on by spiffe://remit.sandbox/agent/copilot, out of {above}" in words
