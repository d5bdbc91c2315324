"""G10, I1, I7: a ledger that is full, read-only, held by another or killed answers nobody, and recovers by itself."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from sqlalchemy import event
from tests.fakes import FakeClock, World, world
from tests.ledger_values import COPILOT, asked, kinds, opening
from tests.stalling_clock import StallingClock
from tests.transport.gateway_server import Served, as_agent, failure_of, issue_message, served

from remit.v1.credential_service_pb2 import PreviewCredentialsRequest
from remit_server.adapters.database.engine import open_database
from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.migrations import migrate
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.adapters.database.writing.group_commit import GroupCommit
from remit_server.adapters.database.writing.store import Store
from remit_server.application.issuing.requests import IssueRequest
from remit_server.domain.audit import ChainIntact
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.grant import GrantState

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[tuple[DatabaseLedger, Path, list[int]]]:
    """A ledger on a disk whose room a test decides: SQLite itself then says that it is full."""
    path, room = tmp_path / "ledger.db", [10_000]
    database = open_database(path)
    await database.write(migrate)
    assert database.writer is not None
    database.writer.dispose()
    event.listen(
        database.writer,
        "connect",
        lambda connection, _: connection.execute(
            "PRAGMA query_only=ON" if room[0] < 0 else f"PRAGMA max_page_count={room[0]}"
        ).close(),
    )
    clock = FakeClock()
    commit = GroupCommit(database, clock)
    commit.start()
    yield DatabaseLedger(Store(database, commit, clock)), path, room
    await commit.close()
    await database.close()


async def test_g10_a_full_disk_answers_nobody_and_recovers_without_a_restart(
    full: tuple[DatabaseLedger, Path, list[int]],
) -> None:
    ledger, path, room = full
    room[0] = 1  # SQLite takes the present size for it
    answered, outage = await _until_full(ledger)
    while_full = await asyncio.gather(
        *(ledger.authorize(opening(5000 + number)) for number in range(5)), return_exceptions=True
    )

    assert outage.reason is Reason.LEDGER_UNAVAILABLE
    assert "full" in str(outage.__cause__)
    assert all(isinstance(one, Outage) for one in while_full)
    assert asked(path, "SELECT count(*) FROM grants") == [(answered,)]
    assert kinds(path).count("grant_authorized") == answered

    room[0] = 10_000
    await ledger.authorize(opening(9999))

    assert isinstance(verify(path), ChainIntact)
    known = await ledger.remembered(COPILOT.actor_id, "request-9999")
    assert known is not None


async def _until_full(ledger: DatabaseLedger) -> tuple[int, Outage]:
    """Returns how many grants were authorized, and the failure of the one that was not."""
    for number in range(1, 2000):
        try:
            await ledger.authorize(opening(number))
        except Outage as outage:
            return number - 1, outage
    raise AssertionError("the disk is never full")


async def test_g10_a_read_only_database_answers_nobody_and_recovers_without_a_restart(
    full: tuple[DatabaseLedger, Path, list[int]],
) -> None:
    ledger, path, room = full

    room[0] = -1
    with pytest.raises(Outage) as raised:
        await ledger.authorize(opening(1))
    room[0] = 10_000
    await ledger.authorize(opening(2))

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    assert "readonly" in str(raised.value.__cause__)
    assert asked(path, "SELECT count(*) FROM grants") == [(1,)]
    assert isinstance(verify(path), ChainIntact)


def test_g10_a_writer_that_hits_the_limit_of_its_files_keeps_all_that_it_answered(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    process = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-c", _LIMITED, str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    answered = set(process.stdout.split())

    assert process.returncode != 0
    assert "Outage" in process.stderr
    assert answered
    assert isinstance(verify(path), ChainIntact)
    written = {name for (name,) in asked(path, "SELECT json_extract(body, '$.request_id') FROM audit_events")}
    assert answered <= written


_LIMITED = """
import asyncio, resource, sys
from tests.ledger_writer import main
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
asyncio.run(main(sys.argv[1], 1))
"""

_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@contextmanager
def stopped_writer(database: Path) -> Iterator[None]:
    """Another process takes the write lock and is stopped (SIGSTOP) while it holds it; at the end it is let go on."""
    with subprocess.Popen(  # noqa: S603 - the script above
        [sys.executable, "-c", _HOLDER, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)
            process.communicate("")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path) as made, served(made, tmp_path) as running:
        yield running


async def test_g10_while_another_holds_the_lock_nothing_is_issued_and_afterwards_all_is_normal(gateway: Served) -> None:
    with stopped_writer(gateway.world.database), pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
    asked_before = len(gateway.world.sts.orders)

    answer = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

    assert failure_of(raised.value).info.reason == "LEDGER_UNAVAILABLE"
    assert asked_before == 0
    assert answer.grant.name
    assert isinstance(verify(gateway.world.database), ChainIntact)


async def test_g10_credentials_that_cannot_be_recorded_are_given_to_nobody(gateway: Served) -> None:
    sts = gateway.world.sts
    sts.gate = asyncio.Event()
    call = asyncio.ensure_future(gateway.stub.IssueCredentials(issue_message(), metadata=as_agent()))
    await sts.called.wait()
    with stopped_writer(gateway.world.database):
        sts.gate.set()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call

    again = await gateway.stub.PreviewCredentials(
        PreviewCredentialsRequest(subject_token="alice@copilot", intent=issue_message().intent), metadata=as_agent()
    )

    assert failure_of(raised.value).info.reason == "LEDGER_UNAVAILABLE"
    assert "credentials_issued" not in await gateway.world.trail()
    assert again.WhichOneof("outcome") == "would_issue"


# G10: a disk that stalls for longer than callers wait, and writes all the same


@dataclass
class Stalling:
    """A gateway on a disk that stalls when a test says so."""

    world: World
    clock: StallingClock

    async def issue_too_late(self, request: IssueRequest, *, after: int, until: str) -> Outage:
        """Returns what a call is told while the transaction after so many stalls, once this is on record."""
        self.clock.stall(after=after)
        async with asyncio.timeout(60):
            with pytest.raises(Outage) as raised:
                await self.world.issue(request)
        self.clock.go_on()
        async with asyncio.timeout(60):
            while until not in await self.world.trail():
                pass
        return raised.value


@pytest.fixture
async def stalling(tmp_path: Path) -> AsyncIterator[Stalling]:
    clock = StallingClock()
    async with world(tmp_path, clock=clock) as made:
        yield Stalling(made, clock)
        clock.go_on()


async def test_g10_what_was_authorized_after_its_caller_was_refused_may_be_asked_again(stalling: Stalling) -> None:
    gateway = stalling.world
    known = gateway.identity.subjects["alice@copilot"]
    gateway.identity.subjects["alice@copilot"] = replace(known, single_use=True, token_id="jti-1")
    request = gateway.request()

    told = await stalling.issue_too_late(request, after=0, until="issuance_failed")
    asked_meanwhile = len(gateway.sts.orders)
    issued = await gateway.issue(request)

    assert told.reason is Reason.LEDGER_UNAVAILABLE
    assert asked_meanwhile == 0
    assert issued.grant.state is GrantState.ISSUED
    assert asked(gateway.database, "SELECT grant_id, state FROM grants") == [(issued.grant.grant_id, "ISSUED")]
    assert isinstance(verify(gateway.database), ChainIntact)


async def test_g10_what_was_issued_after_its_caller_was_refused_is_revoked_and_on_record(stalling: Stalling) -> None:
    gateway = stalling.world
    request = gateway.request()

    told = await stalling.issue_too_late(request, after=1, until="grant_withheld")
    with pytest.raises(Denied) as repeated:
        await gateway.issue(request)

    assert told.reason is Reason.LEDGER_UNAVAILABLE
    assert repeated.value.reason is Reason.GRANT_NOT_LIVE
    assert len(gateway.sts.orders) == 1
    assert asked(gateway.database, "SELECT state FROM grants") == [("REVOKING",)]
    assert isinstance(verify(gateway.database), ChainIntact)


# I1, I7: a process that dies


def test_i1_a_killed_writer_leaves_a_whole_chain_with_everything_it_answered(tmp_path: Path) -> None:
    path, answered = tmp_path / "ledger.db", set[str]()
    for generation, lines in enumerate((1, 40, 150)):
        answered |= _killed_after(path, generation, lines)

        verdict = verify(path)

        assert isinstance(verdict, ChainIntact), verdict
        written = {name for (name,) in asked(path, "SELECT json_extract(body, '$.request_id') FROM audit_events")}
        assert answered <= written
        tied = {name for (name,) in asked(path, "SELECT request_id FROM requests")}
        assert {name for name in answered if name.startswith("request-")} <= tied


def _killed_after(path: Path, generation: int, lines: int) -> set[str]:
    """Starts a writer, kills it (SIGKILL) after so many answers, and returns every answer it gave."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "tests.ledger_writer", str(path), str(generation * 1_000_000 + 1)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        answers = [process.stdout.readline().strip() for _ in range(lines)]
        process.kill()
        *rest, _ = process.stdout.read().split("\n")  # the last line may be cut
    process.wait()
    assert all(answers)
    return {*answers, *rest}
