"""`policy replay --gateway`: a gateway replays what it has on record, and the report is told as that of a ledger."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import known_archive
from tests.transport.policy_server import Published, policy_server, published_pieces
from typer.testing import CliRunner, Result

from remit.v1 import policy_service_pb2 as messages
from remit_server.cli.main import app


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Published]:
    async with policy_server(tmp_path) as running:
        yield running


async def published(server: Published) -> str:
    """Has olga publish the default policy and returns its digest."""
    call = server.stub.PublishRevision(
        published_pieces(known_archive(DEFAULT_POLICIES)), metadata=(("authorization", "Bearer ops-olga"),)
    )
    answer: messages.PublishRevisionResponse = await call
    return answer.revision.revision


async def replay(server: Published, folder: Path, who: str, *options: str) -> Result:
    """Runs the command beside the server."""
    token = folder / f"{who}.token"
    token.write_text(f"ops-{who}", encoding="ascii")
    place = ["--gateway", server.address, "--ca-file", str(server.ca_file), "--token-file", str(token)]
    return await asyncio.to_thread(CliRunner().invoke, app, ["policy", "replay", *place, *options])


async def test_a_gateway_replays_a_published_revision(server: Published, tmp_path: Path) -> None:
    inner = server.world.inner
    await inner.issue(inner.request())
    digest = await published(server)

    outcome = await replay(server, tmp_path, "olga", "--against", digest[:12], "--format", "json", "--since", "1d")

    assert outcome.exit_code == 0, outcome.output
    report = json.loads(outcome.stdout)
    assert report["candidate"] == digest
    assert (report["decisions"], report["verdicts"]) == (1, {"NO_CEILINGS": 1})  # the world keeps none
    assert "100% of the records" in outcome.stderr


async def test_who_may_not_see_every_grant_gets_no_report(server: Published, tmp_path: Path) -> None:
    digest = await published(server)

    outcome = await replay(server, tmp_path, "eve", "--against", digest)

    assert outcome.exit_code == 1
    assert outcome.stdout == ""
    assert "NOT_AUTHORIZED" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--against", str(DEFAULT_POLICIES)], "policy publish"),
        (["--against", "0" * 64, "--jobs", "2"], "read here"),
        (["--against", "0" * 64, "--database", "ledger.db"], "in one way"),
    ],
    ids=["a folder", "jobs", "two places"],
)
async def test_what_a_gateway_cannot_be_asked_is_said_before_it_is(
    server: Published, tmp_path: Path, options: list[str], why: str
) -> None:
    outcome = await replay(server, tmp_path, "olga", *options)

    assert outcome.exit_code == 2
    assert why in outcome.stderr
