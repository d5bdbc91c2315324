"""Identity providers that are asked about accounts: what their answers mean, and that no odd one disables anybody."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from aiohttp import web
from tests.event_world import USERS, EventHandClock, MemoryOfEvents

from remit_sandbox.certificates import Authority
from remit_server.adapters.security_events.account_status import AccountDirectory
from remit_server.application.security_events.poll_statuses import PollStatuses, StatusSource
from remit_server.application.security_events.ports import AccountStatus, StatusUnknown
from remit_server.config.event_settings import StatusPollSettings
from remit_server.domain.security_event import SecurityEventKind

TOKEN = "directory-token"


@dataclass
class Directory:
    """An identity provider's API; `answers` are by the path and query that was asked, to the letter."""

    authority: Authority
    port: int = 0
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.raw_path, request.headers.get("Authorization", "")))
        status, text = self.answers.get(request.raw_path, (404, ""))
        headers = {"Location": "https://127.0.0.1:1/elsewhere"} if status == 302 else {}
        return web.Response(status=status, text=text, headers=headers)

    def settings(self, token_file: Path, **changes: Any) -> StatusPollSettings:
        usual: dict[str, Any] = {
            "alias": "okta",
            "issuer": USERS,
            "url": f"https://127.0.0.1:{self.port}/api/v1/users/{{subject}}",
            "token_file": token_file,
            "allowed_hosts": frozenset({"127.0.0.1"}),
            "status_pointer": "/status",
            "active_values": frozenset({"ACTIVE", "RECOVERY"}),
            "ca_file": self.authority.bundle_path,
        }
        return StatusPollSettings(**{**usual, **changes})


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Directory]:
    running = Directory(Authority.create(tmp_path / "authority"))
    pair = running.authority.issue_server(("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    application = web.Application()
    application.add_routes([web.get("/{tail:.*}", running.answer)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    running.port = runner.addresses[0][1]
    yield running
    await runner.cleanup()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def read(directory: Directory, token_file: Path) -> Callable[[str, str, str], Awaitable[AccountStatus]]:
    """Returns how an answer is read with a pointer and an active value."""

    async def status(pointer: str, active: str, body: str) -> AccountStatus:
        directory.answers["/api/v1/users/alice"] = (200, body)
        settings = directory.settings(token_file, status_pointer=pointer, active_values=frozenset({active}))
        return await AccountDirectory.of(settings)("alice")

    return status


async def test_an_account_is_asked_about_with_the_token_and_only_there(directory: Directory, token_file: Path) -> None:
    directory.answers["/api/v1/users/alice"] = (200, '{"status": "ACTIVE"}')

    status = await AccountDirectory.of(directory.settings(token_file))("alice")

    assert status is AccountStatus.ACTIVE
    assert directory.asked == [("/api/v1/users/alice", f"Bearer {TOKEN}")]


@pytest.mark.parametrize(
    ("pointer", "active", "body", "status"),
    [
        ("/status", "ACTIVE", '{"status": "SUSPENDED"}', AccountStatus.DISABLED),
        ("/status", "ACTIVE", '{"status": "active"}', AccountStatus.DISABLED),
        ("/accountEnabled", "true", '{"accountEnabled": true}', AccountStatus.ACTIVE),
        ("/accountEnabled", "true", '{"accountEnabled": false}', AccountStatus.DISABLED),
        ("/accountEnabled", "true", '{"accountEnabled": null}', AccountStatus.DISABLED),
        ("/Resources/0/active", "true", '{"Resources": [{"active": true}]}', AccountStatus.ACTIVE),
        ("/a~1b/c~0d", "1", '{"a/b": {"c~d": 1}}', AccountStatus.ACTIVE),
    ],
)
async def test_an_answer_is_read_where_the_pointer_says(
    read: Callable[[str, str, str], Awaitable[AccountStatus]], pointer: str, active: str, body: str, status: Any
) -> None:
    assert await read(pointer, active, body) is status


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "{}"),
        (200, ""),
        (200, '{"status": "ACTIVE"'),
        (200, '{"status": "ACTIVE", "status": "X"}'),
        (200, '{"status": ["ACTIVE"]}'),
        (200, '{"status": 1.5}'),
        (200, "x" * 300_000),
        (302, ""),
        (401, ""),
        (403, ""),
        (404, ""),
        (429, ""),
        (500, '{"status": "SUSPENDED"}'),
    ],
)
async def test_nothing_follows_from_an_answer_that_is_not_clear(
    directory: Directory, token_file: Path, status: int, body: str
) -> None:
    directory.answers["/api/v1/users/alice"] = (status, body)

    with pytest.raises(StatusUnknown) as unknown:
        await AccountDirectory.of(directory.settings(token_file))("alice")

    assert TOKEN not in str(unknown.value)


async def test_an_account_that_is_missing_is_disabled_where_the_configuration_says_so(
    directory: Directory, token_file: Path
) -> None:
    there = directory.settings(
        token_file,
        url=f"https://127.0.0.1:{directory.port}/orgs/acme/members/{{subject}}",
        status_pointer=None,
        active_values=frozenset(),
        missing_is_disabled=True,
        probe_subject="octocat",
    )
    directory.answers["/orgs/acme/members/alice"] = (204, "")
    ask = AccountDirectory.of(there)

    assert await ask("alice") is AccountStatus.ACTIVE
    assert await ask("bob") is AccountStatus.DISABLED


@pytest.mark.parametrize(
    "subject", ["../admins/root", "alice?status=1", "a#b", "a@acme.example", "a%2fb", "a;b&c", "a b", "a\\b", "a+b"]
)
async def test_a_subject_stays_one_segment_of_the_url(directory: Directory, token_file: Path, subject: str) -> None:
    with pytest.raises(StatusUnknown, match="404"):
        await AccountDirectory.of(directory.settings(token_file))(subject)

    ((path, _),) = directory.asked
    assert path.count("/") == 4
    assert "?" not in path
    assert unquote(path) == f"/api/v1/users/{subject}"


@pytest.mark.parametrize("subject", [".", ".."])
async def test_a_subject_that_would_climb_is_not_asked_about(
    directory: Directory, token_file: Path, subject: str
) -> None:
    with pytest.raises(StatusUnknown, match="cannot stand in a URL"):
        await AccountDirectory.of(directory.settings(token_file))(subject)

    assert directory.asked == []


@pytest.mark.parametrize("subject", ['x"&count=9', "x+y", "x%26y", "x#y", "x;y=1"])
async def test_a_subject_in_a_query_stays_one_value(directory: Directory, token_file: Path, subject: str) -> None:
    url = f"https://127.0.0.1:{directory.port}/Users?filter=userName%20eq%20%22{{subject}}%22&count=1"
    settings = directory.settings(token_file, url=url, status_pointer="/Resources/0/active")

    with pytest.raises(StatusUnknown):
        await AccountDirectory.of(settings)(subject)

    ((path, _),) = directory.asked
    assert parse_qs(urlsplit(path).query) == {"filter": [f'userName eq "{subject}"'], "count": ["1"]}


async def test_a_token_file_that_is_gone_disables_nobody(directory: Directory, tmp_path: Path) -> None:
    with pytest.raises(StatusUnknown, match="token file"):
        await AccountDirectory.of(directory.settings(tmp_path / "gone"))("alice")

    assert directory.asked == []


# --- the rounds ---


@dataclass
class Rounds:
    """A poll of statuses with a directory that answers from a table; everything else is real."""

    statuses: dict[str, AccountStatus | str]
    live: Sequence[str] = ("alice", "bob")
    probe: str | None = None
    memory: MemoryOfEvents = field(default_factory=MemoryOfEvents)
    clock: EventHandClock = field(default_factory=EventHandClock)
    held: bool = True
    pauses: list[float] = field(default_factory=list)
    rounds: int = 0
    names: Mapping[str, str | None] = field(default_factory=dict)

    async def name_of(self, subject_id: str, /) -> str | None:
        return self.names.get(subject_id, subject_id)

    async def ask(self, subject_id: str, /) -> AccountStatus:
        status = self.statuses[subject_id]
        if isinstance(status, str):
            raise StatusUnknown(status)
        return status

    async def live_subjects(self, issuer: str, /) -> Sequence[str]:
        assert issuer == USERS
        return self.live

    async def blocked_subjects(self, issuer: str, source: str, /) -> Sequence[str]:
        """Returns who is blocked by what was revoked, as the database knows it."""
        assert (issuer, source) == (USERS, "poll:okta")
        blocked = {event.subject_id: event.kind for event in self.memory.revoked}
        return [subject for subject, kind in blocked.items() if kind is SecurityEventKind.ACCOUNT_DISABLED]

    async def hold(self, name: str, holder: str, seconds: float, /) -> bool:
        assert (name, holder, seconds) == ("events:poll:okta", "me", 90.0)
        return self.held

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds=seconds)
        if seconds == 60:
            self.rounds -= 1
            if self.rounds <= 0:
                raise asyncio.CancelledError

    async def run(self, rounds: int = 1) -> list[tuple[str, str]]:
        """Asks about everybody so many times; returns what was told, in order, since the start."""
        self.rounds = rounds
        source = StatusSource("poll:okta", USERS, timedelta(seconds=60), 5.0, self.probe)
        poll = PollStatuses(
            source,
            self.ask,
            self.name_of,
            self.live_subjects,
            self.blocked_subjects,
            self.memory.obey(),
            self.hold,
            "me",
            self.clock,
            self.sleep,
        )
        with pytest.raises(asyncio.CancelledError):
            await poll()
        return [(event.kind.value, event.subject_id) for event in self.memory.revoked]


async def test_an_account_that_is_disabled_is_told_once_and_lifted_when_it_is_active_again() -> None:
    rounds = Rounds({"alice": AccountStatus.DISABLED, "bob": AccountStatus.ACTIVE})

    first = await rounds.run(rounds=2)
    rounds.statuses["alice"] = AccountStatus.ACTIVE
    rounds.live = ("bob",)
    second = await rounds.run(rounds=2)
    rounds.statuses["alice"] = AccountStatus.DISABLED
    rounds.live = ("alice", "bob")
    third = await rounds.run()

    assert first == [("ACCOUNT_DISABLED", "alice")]
    assert second == [*first, ("ACCOUNT_ENABLED", "alice")]
    assert third == [*second, ("ACCOUNT_DISABLED", "alice")]


async def test_a_user_is_asked_about_by_the_name_that_the_directory_knows_and_blocked_by_their_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rounds = Rounds({"690222be": AccountStatus.DISABLED}, names={"alice": "690222be", "bob": None})

    assert await rounds.run() == [("ACCOUNT_DISABLED", "alice")]
    assert "1 accounts gave no clear answer" in caplog.text


async def test_an_answer_that_is_not_clear_changes_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds({"alice": AccountStatus.DISABLED, "bob": AccountStatus.ACTIVE})
    await rounds.run()
    rounds.statuses = {"alice": "the answer has HTTP status 500", "bob": "the answer has HTTP status 500"}

    told = await rounds.run()

    assert told == [("ACCOUNT_DISABLED", "alice")]
    assert "2 accounts gave no clear answer" in caplog.text
    assert "HTTP status 500" in caplog.text


@pytest.mark.parametrize("probe", [AccountStatus.DISABLED, "the answer has HTTP status 401"])
async def test_nobody_is_disabled_while_the_account_that_always_exists_is_not_there(
    probe: AccountStatus | str, caplog: pytest.LogCaptureFixture
) -> None:
    everybody: dict[str, AccountStatus | str] = {"alice": AccountStatus.DISABLED, "bob": AccountStatus.DISABLED}
    rounds = Rounds({**everybody, "probe": probe}, probe="probe")

    assert await rounds.run() == []
    assert "the probe account" in caplog.text


async def test_one_process_of_all_asks() -> None:
    rounds = Rounds({"alice": AccountStatus.DISABLED, "bob": AccountStatus.DISABLED}, held=False)

    assert await rounds.run(rounds=3) == []


async def test_questions_are_asked_no_faster_than_the_configuration_allows() -> None:
    rounds = Rounds({"alice": AccountStatus.ACTIVE, "bob": AccountStatus.ACTIVE})

    await rounds.run()

    assert rounds.pauses == [0.2, 0.2, 60.0]


async def test_an_outage_of_the_ledger_ends_no_poll(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds({"alice": AccountStatus.DISABLED, "bob": AccountStatus.ACTIVE})
    rounds.memory.is_down = True

    during = await rounds.run()
    rounds.memory.is_down = False
    after = await rounds.run()

    assert during == []
    assert after == [("ACCOUNT_DISABLED", "alice")]
    assert "could not be asked about" in caplog.text
