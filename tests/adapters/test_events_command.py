"""`remit-server events`, against a transmitter and the receiving part of a gateway that both run on loopback HTTPS."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.event_world import ACCOUNT_DISABLED, RECEIVER, USERS
from tests.transmitter import ACCESS_TOKEN, STREAM_ID, Transmitter, running_transmitter
from typer.testing import CliRunner

from remit_sandbox.certificates import Authority
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.revoking.heard_events import DatabaseSecurityEvents
from remit_server.adapters.database.trail.audit_log import events
from remit_server.adapters.system_clock import SystemClock
from remit_server.bootstrap.events import hear_events
from remit_server.cli.main import app
from remit_server.config.loading import load
from remit_server.config.settings import HttpListenerSettings
from remit_server.transport.http.server import HttpServer


@dataclass
class World:
    """A transmitter, and a configuration of a gateway for it."""

    transmitter: Transmitter
    folder: ConfigurationFolder
    config: Path = Path()

    def configure(self, *lines: str) -> None:
        """Writes the configuration with further lines for the transmitter."""
        table = f"""
[[transmitters]]
alias = "acme"
issuer = "{self.transmitter.issuer}"
audience = "{RECEIVER}"
algorithms = ["RS256"]
users_of = "acme"
subject_issuer = "{USERS}"
ca_file = "tls/transmitter-ca.pem"
access_token_file = "secrets/access-token"
"""
        listening = TEXT.replace("[[issuers]]", '[listen.http]\naddress = "127.0.0.1:8445"\n\n[[issuers]]', 1)
        self.config = self.folder.write(listening + table + "\n".join(lines))

    def poll(self) -> None:
        self.configure('delivery = "poll"', f'poll_url = "{self.transmitter.origin}/poll"')

    async def run(self, *arguments: str) -> Any:
        """Runs a command beside the servers that it talks to."""
        words = ["events", *arguments, "--config", str(self.config)]
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[str]:
        """Runs what hears events in a gateway with this configuration; yields where it listens."""
        settings, clock = load(self.config, {}), SystemClock()
        pair = self.transmitter.authority.issue_server(("127.0.0.1",))
        async with AsyncExitStack() as stack:
            ledger = await stack.enter_async_context(open_ledger(settings.database_url, clock, denying=True))
            routes = await hear_events(stack, settings.events, ledger, clock)
            server = HttpServer(HttpListenerSettings("127.0.0.1:0", (pair.certificate_path, pair.key_path)), routes)
            stack.push_async_callback(server.stop, timedelta())
            yield f"https://{await server.start()}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    folder = ConfigurationFolder.create(tmp_path)
    authority = Authority.create(tmp_path / "transmitters-authority")
    shutil.copy(authority.bundle_path, tmp_path / "tls/transmitter-ca.pem")
    (tmp_path / "secrets/access-token").write_text(ACCESS_TOKEN)
    (tmp_path / "secrets/access-token").chmod(0o600)
    async with running_transmitter(authority) as transmitter:
        yield World(transmitter, folder)


async def test_configure_creates_the_stream_and_says_what_it_does_not_deliver(world: World) -> None:
    world.poll()

    result = await world.run("configure", "acme")
    again = await world.run("configure", "acme")

    assert (result.exit_code, again.exit_code) == (0, 0)
    assert f"stream {STREAM_ID} of acme is created" in result.stdout
    assert "delivers  session-revoked, credential-change" in result.stdout
    assert f"does not deliver {ACCOUNT_DISABLED}" in result.stderr
    assert "is as configured" in again.stdout


async def test_a_poll_url_or_an_audience_that_is_not_the_streams_is_told(world: World) -> None:
    world.configure('delivery = "poll"', f'poll_url = "{world.transmitter.origin}/elsewhere"')
    elsewhere = await world.run("configure", "acme")
    world.poll()
    assert world.transmitter.stream is not None
    world.transmitter.stream["aud"] = "https://other.example.com"

    audience = await world.run("status", "acme")

    assert (elsewhere.exit_code, audience.exit_code) == (1, 1)
    assert f'set poll_url = "{world.transmitter.origin}/poll"' in elsewhere.stderr
    assert 'set audience = "https://other.example.com"' in audience.stderr


async def test_status_ends_with_1_when_nothing_would_come(world: World) -> None:
    world.poll()
    await world.run("configure", "acme")
    enabled = await world.run("status", "acme")
    world.transmitter.status = "paused"

    paused = await world.run("status", "acme")

    assert (enabled.exit_code, paused.exit_code) == (0, 1)
    assert "is paused" in paused.stdout


async def test_a_polled_stream_is_verified_end_to_end(world: World) -> None:
    world.poll()
    await world.run("configure", "acme")
    async with world.gateway():
        result = await world.run("verify", "acme")

    assert (result.exit_code, result.stderr) == (0, "")
    assert "the stream of acme works" in result.stdout
    assert kinds_of(world) == ["event_stream_verification_requested", "event_stream_verified"]


async def test_a_pushed_stream_is_verified_end_to_end_with_the_secret_it_was_given(world: World) -> None:
    world.configure('authorization_files = ["secrets/ssf-acme"]')
    async with world.gateway() as url:
        world.configure('authorization_files = ["secrets/ssf-acme"]', f'receiver_url = "{url}/ssf/acme"')
        await world.run("configure", "acme")
        result = await world.run("verify", "acme")

    assert (result.exit_code, world.transmitter.pushed) == (0, [202])


async def test_an_event_reaches_the_ledger_of_a_gateway_and_a_block_stands(world: World) -> None:
    world.poll()
    settings = load(world.config, {})
    async with world.gateway():
        event_id = world.transmitter.enqueue(ACCOUNT_DISABLED, {"reason": "hijacking"})
        while event_id not in world.transmitter.acknowledged:  # noqa: ASYNC110 - it happens in another server
            await asyncio.sleep(0.01)

    async with open_ledger(settings.database_url, SystemClock()) as ledger:
        issuer = settings.issuers[0].issuer
        blocked = await DatabaseSecurityEvents(ledger.store).blocked_subjects(issuer, "ssf:acme")
    assert blocked == ["alice"]
    assert kinds_of(world) == ["grants_revoked", "security_event_received"]


async def test_events_that_were_refused_are_on_record_after_a_stop(world: World) -> None:
    world.poll()
    async with world.gateway():
        event_id = world.transmitter.enqueue(ACCOUNT_DISABLED, aud="https://other.example.com")
        while event_id not in world.transmitter.errors:  # noqa: ASYNC110 - it happens in another server
            await asyncio.sleep(0.01)

    assert kinds_of(world) == ["security_events_refused"]


async def test_a_verification_that_no_gateway_hears_fails(world: World) -> None:
    world.poll()
    await world.run("configure", "acme")

    result = await world.run("verify", "acme", "--wait", "1")

    assert result.exit_code == 1
    assert "is a gateway running" in result.stderr


async def test_a_transmitter_that_is_not_configured_is_told_with_those_that_are(world: World) -> None:
    world.poll()

    result = await world.run("status", "okta")

    assert (result.exit_code, result.stderr) == (
        2,
        "there is no transmitter 'okta' in [[transmitters]]; there are: acme\n",
    )


async def test_a_transmitter_that_does_not_take_the_token_is_told_without_it(world: World) -> None:
    world.poll()
    world.transmitter.access_token = "another"

    result = await world.run("configure", "acme")

    assert result.exit_code == 2
    assert "the access token is not taken" in result.stderr
    assert ACCESS_TOKEN not in result.stderr


def kinds_of(world: World) -> list[str]:
    """Returns the kinds of all records, in order."""
    return [event.kind for event in events(load(world.config, {}).database_url)]
