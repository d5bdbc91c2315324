"""Events that are fetched from a transmitter (RFC 8936): over loopback HTTPS, from one that signs and serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.event_world import ACCOUNT_DISABLED, SESSION_REVOKED, MemoryOfEvents
from tests.transmitter import ACCESS_TOKEN, Transmitter, running_transmitter

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.security_events.management import ssf_discovery_url
from remit_server.adapters.security_events.poll_client import PollClient
from remit_server.adapters.security_events.set_verification import SetVerifier
from remit_server.adapters.security_events.transmitter_calls import TransmitterCalls
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.security_events.counting import EventCounts
from remit_server.application.security_events.poll_stream import NOT_OURS_SECONDS, PollStream
from remit_server.application.security_events.receive import Receive
from remit_server.config.event_settings import TransmitterSettings


@pytest.fixture
async def transmitter(tmp_path: Path) -> AsyncIterator[Transmitter]:
    async with running_transmitter(Authority.create(tmp_path / "authority")) as running:
        yield running


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "access-token"
    path.write_text(f"{ACCESS_TOKEN}\n")
    return path


@dataclass
class Names:
    """Gives a name to whoever asks first, as the database does until a hold lapses."""

    holder: str | None = None

    async def hold(self, name: str, holder: str, seconds: float, /) -> bool:
        assert (name, seconds) == ("events:ssf:acme", 50.0)
        self.holder = self.holder or holder
        return self.holder == holder


@dataclass
class Pauses:
    """Notes how long is slept, and lets no time pass."""

    seconds: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def polling(
    settings: TransmitterSettings, memory: MemoryOfEvents, names: Names, *, holder: str = "one", deadline: float = 35.0
) -> AsyncIterator[Pauses]:
    """Polls while the block runs."""
    clock, pauses = SystemClock(), Pauses()
    keys = IssuerKeys.over_https(settings.signer, clock, ssf_discovery_url)
    counts = EventCounts(memory.record, clock)
    receive = Receive(settings.source, SetVerifier(settings, keys, clock), memory.obey(), counts)
    client = PollClient(settings, TransmitterCalls.of(settings, deadline_seconds=deadline))
    poll = PollStream(client, receive, names.hold, holder, clock, 30.0, pauses.sleep)
    task = asyncio.create_task(poll())
    try:
        yield pauses
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await keys.close()


async def until(condition: Any) -> None:
    """Waits until something is so; the test's own time limit ends it otherwise."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another task's server
        await asyncio.sleep(0.01)


async def test_an_event_is_fetched_obeyed_and_then_acknowledged(transmitter: Transmitter, token_file: Path) -> None:
    memory = MemoryOfEvents()
    async with polling(transmitter.settings(token_file), memory, Names()):
        event_id = transmitter.enqueue(ACCOUNT_DISABLED, {"reason": "hijacking"})
        await until(lambda: transmitter.acknowledged)

    assert transmitter.acknowledged == [event_id]
    assert [(event.subject_id, event.reason) for event in memory.revoked] == [("alice", "hijacking")]


async def test_events_come_in_portions_and_those_that_are_refused_are_told_as_errors(
    transmitter: Transmitter, token_file: Path
) -> None:
    good = [transmitter.enqueue(SESSION_REVOKED) for _ in range(3)]
    bad = transmitter.enqueue(SESSION_REVOKED, aud="https://other.example.com")
    memory = MemoryOfEvents()
    async with polling(transmitter.settings(token_file, poll_max_events=2), memory, Names()):
        await until(lambda: not transmitter.queue)

    assert transmitter.acknowledged == good
    assert transmitter.errors == {
        bad: {"err": "invalid_audience", "description": "the event was made for another receiver"}
    }
    assert len(memory.revoked) == 3


async def test_an_event_that_could_not_be_made_durable_is_not_acknowledged_and_fetched_again(
    transmitter: Transmitter, token_file: Path
) -> None:
    memory = MemoryOfEvents(is_down=True)
    event_id = transmitter.enqueue(SESSION_REVOKED)
    async with polling(transmitter.settings(token_file), memory, Names()) as pauses:
        await until(lambda: len(pauses.seconds) >= 3)
        unacknowledged = list(transmitter.acknowledged)
        memory.is_down = False
        await until(lambda: transmitter.acknowledged)

    assert unacknowledged == []
    assert pauses.seconds[:3] == [1.0, 2.0, 4.0]
    assert transmitter.acknowledged == [event_id]
    assert len(memory.revoked) == 1


async def test_an_event_that_cannot_be_taken_keeps_no_other_waiting(
    transmitter: Transmitter, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = MemoryOfEvents(poison="event-1")
    transmitter.enqueue(SESSION_REVOKED)
    others = [transmitter.enqueue(SESSION_REVOKED) for _ in range(2)]
    async with polling(transmitter.settings(token_file), memory, Names()) as pauses:
        await until(lambda: transmitter.acknowledged == others)
        memory.poison = ""
        await until(lambda: not transmitter.queue)

    assert [event.event_id for event in memory.revoked] == [*others, "event-1"]
    assert pauses.seconds[0] == 1.0
    assert "KeyError" in caplog.text


async def test_of_two_processes_one_polls(transmitter: Transmitter, token_file: Path) -> None:
    memory, names, settings = MemoryOfEvents(), Names(), transmitter.settings(token_file)
    async with (
        polling(settings, memory, names, holder="one"),
        polling(settings, memory, names, holder="two") as waiting,
    ):
        await until(lambda: len(waiting.seconds) >= 2)
        transmitter.enqueue(SESSION_REVOKED)
        await until(lambda: transmitter.acknowledged)

    assert set(waiting.seconds) == {NOT_OURS_SECONDS}
    assert names.holder == "one"


async def test_the_other_process_takes_over_and_nothing_counts_twice(
    transmitter: Transmitter, token_file: Path
) -> None:
    memory, names, settings = MemoryOfEvents(), Names(), transmitter.settings(token_file)
    transmitter.enqueue(SESSION_REVOKED)
    async with polling(settings, memory, names, holder="one"):
        await until(lambda: memory.revoked)
    transmitter.acknowledged.clear()
    names.holder = None
    again = transmitter.enqueue(SESSION_REVOKED, jti=memory.revoked[0].event_id)
    async with polling(settings, memory, names, holder="two"):
        await until(lambda: again in transmitter.acknowledged)

    assert len(memory.revoked) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "strict JSON"),
        (b"[]", "no `sets`"),
        (b"{}", "no `sets`"),
        (b'{"sets": []}', "no `sets`"),
        (b'{"sets": {}, "moreAvailable": "yes"}', "no `sets`"),
        (b'{"sets": {"a": 1}}', "no strings"),
        (b'{"sets": {"": "x"}}', "no strings"),
        (b'{"sets": {"a": "x", "a": "y"}}', "strict JSON"),
        (b'{"sets": {"1": "x", "2": "x", "3": "x"}}', "more events"),
        (b"x" * (1024 * 1024 + 1), "longer than"),
    ],
)
async def test_an_answer_that_is_none_is_told_and_the_poll_goes_on(
    transmitter: Transmitter, token_file: Path, caplog: pytest.LogCaptureFixture, body: bytes, why: str
) -> None:
    transmitter.answers["poll"] = web.Response(body=body, content_type="application/json")
    memory = MemoryOfEvents()
    async with polling(transmitter.settings(token_file, poll_max_events=2), memory, Names()):
        event_id = transmitter.enqueue(SESSION_REVOKED)
        await until(lambda: transmitter.acknowledged)

    assert transmitter.acknowledged == [event_id]
    assert why in caplog.text


async def test_a_renewed_access_token_is_read_without_a_restart_and_never_logged(
    transmitter: Transmitter, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transmitter.access_token = "renewed-access-token"
    memory = MemoryOfEvents()
    event_id = transmitter.enqueue(SESSION_REVOKED)
    async with polling(transmitter.settings(token_file), memory, Names()) as pauses:
        await until(lambda: pauses.seconds)
        await asyncio.to_thread(token_file.write_text, "renewed-access-token")
        await until(lambda: transmitter.acknowledged)

    assert transmitter.acknowledged == [event_id]
    assert "HTTP status 401: the access token is not taken: renew what is in its file" in caplog.text
    assert ACCESS_TOKEN not in caplog.text


async def test_a_poll_without_an_answer_is_no_failure_and_its_acknowledgements_are_told_again(
    transmitter: Transmitter, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = MemoryOfEvents()
    first = transmitter.enqueue(SESSION_REVOKED)
    async with polling(transmitter.settings(token_file), memory, Names(), deadline=0.3) as pauses:
        await until(lambda: len(transmitter.calls) >= 4)
        second = transmitter.enqueue(SESSION_REVOKED)
        await until(lambda: second in transmitter.acknowledged)

    assert set(pauses.seconds) == {0.0}
    assert first in transmitter.acknowledged
    assert len(memory.revoked) == 2
    assert caplog.text == ""
