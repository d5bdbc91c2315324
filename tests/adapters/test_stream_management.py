"""Streams that are set up, looked at and verified at a transmitter that runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.transmitter import ACCESS_TOKEN, STREAM_ID, Transmitter, running_transmitter

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.security_events.event_types import ACCOUNT_DISABLED, ACCOUNT_ENABLED, REQUESTED
from remit_server.adapters.security_events.management import StreamManagement, ssf_discovery_url
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.security_events.ports import TransmitterUnavailable
from remit_server.config.event_settings import Delivery
from remit_server.domain.secret import Secret

PUSH: dict[str, Any] = {"delivery": Delivery.PUSH, "poll_url": None}


@pytest.fixture
async def transmitter(tmp_path: Path) -> AsyncIterator[Transmitter]:
    async with running_transmitter(Authority.create(tmp_path / "authority"), path="/tenant-1") as running:
        yield running


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "access-token"
    path.write_text(f"{ACCESS_TOKEN}\n")
    return path


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://tr.example.com", "https://tr.example.com/.well-known/ssf-configuration"),
        ("https://tr.example.com/", "https://tr.example.com/.well-known/ssf-configuration"),
        ("https://tr.example.com/issuer1", "https://tr.example.com/.well-known/ssf-configuration/issuer1"),
        ("https://tr.example.com:8443/a/b/", "https://tr.example.com:8443/.well-known/ssf-configuration/a/b"),
    ],
)
def test_the_configuration_is_where_the_standard_puts_it(issuer: str, url: str) -> None:
    assert ssf_discovery_url(issuer) == url


async def test_keys_are_found_by_the_transmitters_own_discovery(transmitter: Transmitter, token_file: Path) -> None:
    keys = IssuerKeys.over_https(transmitter.settings(token_file).signer, SystemClock(), ssf_discovery_url)

    assert (await keys.key("rsa")).key_id == "rsa"


async def test_a_pushed_stream_is_created_with_our_url_and_secret(transmitter: Transmitter, token_file: Path) -> None:
    url = "https://remit.example.com/ssf/acme"
    settings = transmitter.settings(token_file, **PUSH, receiver_url=url, authorization=(Secret("Bearer s1"),))

    stream = await StreamManagement.of(settings).configure()

    assert (stream.stream_id, stream.created, stream.poll_url) == (STREAM_ID, True, None)
    assert stream.missing == (ACCOUNT_DISABLED, ACCOUNT_ENABLED)
    assert transmitter.stream is not None
    assert transmitter.stream["delivery"] == {
        "method": "urn:ietf:rfc:8935",
        "endpoint_url": url,
        "authorization_header": "Bearer s1",
    }
    assert transmitter.stream["events_requested"] == list(REQUESTED)


async def test_a_stream_that_is_there_is_changed_and_no_second_is_made(
    transmitter: Transmitter, token_file: Path
) -> None:
    management = StreamManagement.of(transmitter.settings(token_file))
    await management.configure()

    again = await management.configure()

    assert (again.created, again.poll_url) == (False, f"{transmitter.origin}/poll")
    changes = [(method, (content or {}).get("stream_id")) for method, _, content in transmitter.calls]
    assert changes == [("GET", None), ("POST", None), ("GET", None), ("PATCH", STREAM_ID)]


async def test_a_stream_tells_its_state_and_has_a_verification_sent(transmitter: Transmitter, token_file: Path) -> None:
    management = StreamManagement.of(transmitter.settings(token_file))
    await management.configure()
    transmitter.status = "paused"

    stream = await management.stream()
    state = await management.state(stream.stream_id)
    await management.request_verification(stream.stream_id, "state-1")

    assert (state.status, state.reason) == ("paused", "")
    assert transmitter.calls[-1] == ("POST", "/verify", {"stream_id": STREAM_ID, "state": "state-1"})
    assert len(transmitter.queue) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "https://other.example.com"}, "names another issuer"),
        ({"configuration_endpoint": None}, "offers no configuration_endpoint"),
        ({"configuration_endpoint": 7}, "offers no configuration_endpoint"),
        ({"configuration_endpoint": "https://elsewhere.example.com/stream"}, "host is not in allowed_hosts"),
        ({"configuration_endpoint": "http://127.0.0.1/stream"}, "must be an https URL"),
        ({"configuration_endpoint": "https://127.0.0.1/stream?x=1"}, "without user, query"),
    ],
)
async def test_no_token_is_shown_to_an_endpoint_that_is_not_the_transmitters(
    transmitter: Transmitter, token_file: Path, changes: dict[str, Any], why: str
) -> None:
    transmitter.metadata_changes = changes

    with pytest.raises(TransmitterUnavailable, match=why):
        await StreamManagement.of(transmitter.settings(token_file)).configure()

    assert transmitter.calls == []


async def test_a_token_that_is_not_taken_is_told_with_what_to_do(transmitter: Transmitter, token_file: Path) -> None:
    transmitter.access_token = "another"

    with pytest.raises(TransmitterUnavailable, match="HTTP status 401: the access token is not taken") as failed:
        await StreamManagement.of(transmitter.settings(token_file)).configure()

    assert ACCESS_TOKEN not in str(failed.value)


async def test_a_stream_that_is_not_there_is_told(transmitter: Transmitter, token_file: Path) -> None:
    with pytest.raises(TransmitterUnavailable, match="events configure"):
        await StreamManagement.of(transmitter.settings(token_file)).stream()


async def test_a_push_needs_to_know_where_to(transmitter: Transmitter, token_file: Path) -> None:
    with pytest.raises(TransmitterUnavailable, match="set `receiver_url`"):
        await StreamManagement.of(transmitter.settings(token_file, **PUSH)).configure()


@pytest.mark.parametrize("content", ["", "two words", "a\nb", "\x00", "x" * 20_000])
async def test_a_token_file_holds_one_token(transmitter: Transmitter, token_file: Path, content: str) -> None:
    await asyncio.to_thread(token_file.write_text, content)

    with pytest.raises(TransmitterUnavailable, match="token file"):
        await StreamManagement.of(transmitter.settings(token_file)).configure()
