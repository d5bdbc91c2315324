"""What a gateway wires of webhooks and status polls, from the wire to the ledger: nothing in between is a stand-in."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from tests.event_world import WEBHOOK_SECRET, signed_header
from tests.ledger_values import ISSUER, opening

from remit_sandbox.certificates import Authority
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.revoking.heard_events import DatabaseSecurityEvents
from remit_server.adapters.system_clock import SystemClock
from remit_server.bootstrap.events import hear_events
from remit_server.config.event_settings import EventSettings, StatusPollSettings, UserName, WebhookSettings
from remit_server.config.settings import HttpListenerSettings
from remit_server.domain.secret import Secret
from remit_server.transport.http.server import HttpServer


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[DatabaseLedger]:
    """A ledger in which alice, whom AWS knows as `login.alice`, has a grant."""
    async with open_ledger(tmp_path / "ledger.db", SystemClock(), denying=True) as opened:
        await opened.authorize(opening())
        yield opened


@asynccontextmanager
async def hearing(ledger: DatabaseLedger, settings: EventSettings) -> AsyncIterator[str]:
    """Runs what hears events; yields where it listens."""
    async with AsyncExitStack() as stack:
        server = HttpServer(
            HttpListenerSettings("127.0.0.1:0"), await hear_events(stack, settings, ledger, SystemClock())
        )
        stack.push_async_callback(server.stop, timedelta())
        yield f"http://{await server.start()}"


async def blocked(ledger: DatabaseLedger, source: str) -> Sequence[str]:
    return await DatabaseSecurityEvents(ledger.store).blocked_subjects(ISSUER, source)


async def test_a_signed_webhook_blocks_and_lifts(ledger: DatabaseLedger) -> None:
    settings = EventSettings(webhooks=(WebhookSettings("hr", (Secret(WEBHOOK_SECRET),), frozenset({ISSUER})),))
    found = []

    async with hearing(ledger, settings) as url, aiohttp.ClientSession() as session:
        for number, event in enumerate(("account-disabled", "account-enabled")):
            told = {"id": f"call-{number}", "event": event, "issuer": ISSUER, "subject": "alice"}
            body = json.dumps({**told, "time": datetime.now(UTC).isoformat()}).encode()
            headers = {"Content-Type": "application/json"}
            headers["Remit-Signature"] = signed_header(body, seconds=int(time.time()))
            async with session.post(f"{url}/webhooks/hr", data=body, headers=headers) as answer:
                found.append((answer.status, await blocked(ledger, "webhook:hr")))

    assert found == [(202, ["alice"]), (202, [])]


async def test_a_directory_is_asked_by_the_name_it_knows_and_its_no_blocks_until_it_says_yes(
    ledger: DatabaseLedger, tmp_path: Path
) -> None:
    asked: list[str] = []
    status = "SUSPENDED"

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"status": status})

    async with directory(tmp_path, answer) as (port, authority):
        poll = StatusPollSettings(
            alias="okta",
            issuer=ISSUER,
            url=f"https://127.0.0.1:{port}/users/{{subject}}",
            token_file=token_file(tmp_path),
            allowed_hosts=frozenset({"127.0.0.1"}),
            status_pointer="/status",
            active_values=frozenset({"ACTIVE"}),
            named_by=UserName.SOURCE_CLAIM,
            users_alias="login",
            every=timedelta(seconds=0.05),
            requests_per_second=100.0,
            ca_file=authority.bundle_path,
        )
        async with hearing(ledger, EventSettings(status_polls=(poll,))):
            while await blocked(ledger, "poll:okta") != ["alice"]:  # noqa: ASYNC110 - a ledger sets no event
                await asyncio.sleep(0.02)
            status = "ACTIVE"
            while await blocked(ledger, "poll:okta"):  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.02)

    assert set(asked) == {"/users/alice"}


def token_file(folder: Path) -> Path:
    path = folder / "token"
    path.write_text("directory-token")
    return path


@asynccontextmanager
async def directory(folder: Path, answer: Handler) -> AsyncIterator[tuple[int, Authority]]:
    """Runs an identity provider's API; yields its port and who signed its certificate."""
    authority = Authority.create(folder / "authority")
    pair = authority.issue_server(("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    application = web.Application()
    application.add_routes([web.get("/{tail:.*}", answer)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1], authority
    finally:
        await runner.cleanup()
