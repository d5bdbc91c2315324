"""A PostgreSQL that is lost, hangs, or goes away while it commits: refused, recorded as it is, and found again."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.databases import connected
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    COPILOT,
    an_authorization,
    an_issuance,
    asked,
    grant_id,
    issued_record,
    kinds,
    opening,
    refused_record,
    state_of,
)
from tests.real_postgresql import PostgresqlServer, postgresql_server

from remit_server.adapters.database.engine import OutcomeUnknown, open_database, patience
from remit_server.adapters.database.engine import database as engine_database
from remit_server.adapters.database.engine.patience import NoAnswer, PatientConnection
from remit_server.adapters.database.ledger import DatabaseLedger, open_ledger
from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.config.postgresql import postgresql_address
from remit_server.domain.audit import ChainIntact, GrantExpired
from remit_server.domain.errors import Outage, Reason

PATIENCE = 60.0  # of these tests


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server of its own, which these tests stop and kill."""
    with postgresql_server() as own:
        yield own


@pytest.fixture
def url(server: PostgresqlServer) -> str:
    found = server.url(server.create())
    upgrade(found)
    return found


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[DatabaseLedger]:
    async with open_ledger(url, FakeClock()) as opened:
        yield opened


async def until_recorded(ledger: DatabaseLedger, message: str) -> None:
    """Records it as soon as that can be: a gateway goes on without a restart."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await ledger.record(refused_record(message))
            except Outage:
                await asyncio.sleep(0.05)
            else:
                return


def test_a_read_and_a_write_of_a_hung_server_are_refused_within_a_second() -> None:
    assert timedelta(seconds=1) > engine_database.READ_STUCK_AFTER


async def test_a_server_that_hangs_is_an_outage_for_reads_and_writes_until_it_goes_on(
    server: PostgresqlServer, ledger: DatabaseLedger, url: str
) -> None:
    await ledger.authorize(opening(1))

    async with asyncio.timeout(PATIENCE):
        with server.hung():
            calls = [ledger.remembered(COPILOT.actor_id, "request-1"), ledger.authorize(opening(2))]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await until_recorded(ledger, "it goes on")

    assert [type(outcome) for outcome in outcomes] == [Outage, Outage]
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Outage)} == {Reason.LEDGER_UNAVAILABLE}
    assert await ledger.remembered(COPILOT.actor_id, "request-1") is not None
    assert await ledger.remembered(COPILOT.actor_id, "request-2") is None or state_of(url, 2) == "FAILED"
    assert isinstance(verify(url), ChainIntact)


def test_a_server_that_says_nothing_for_long_is_given_up(server: PostgresqlServer) -> None:
    parameters = postgresql_address(server.url("postgres")).parameters
    with closing(PatientConnection.connect(**parameters)) as connection:  # type: ignore[arg-type]
        connection.limit = 0.3

        with server.hung(), pytest.raises(NoAnswer):
            connection.execute("SELECT 1")

        assert connection.closed


async def test_a_server_that_was_killed_is_an_outage_until_it_is_back(
    server: PostgresqlServer, ledger: DatabaseLedger, url: str
) -> None:
    await ledger.authorize(opening(1))

    server.crash()
    try:
        for call in (ledger.remembered(COPILOT.actor_id, "request-1"), ledger.authorize(opening(2))):
            with pytest.raises(Outage) as raised:
                await call
            assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    finally:
        server.start()
    await until_recorded(ledger, "it is back")

    assert kinds(url) == ["task_started", "grant_authorized", "request_refused"]
    assert isinstance(verify(url), ChainIntact)


async def test_a_server_that_was_restarted_meanwhile_is_no_outage_at_all(
    server: PostgresqlServer, ledger: DatabaseLedger, url: str
) -> None:
    await ledger.authorize(opening(1))

    server.stop()
    server.start()

    assert await ledger.remembered(COPILOT.actor_id, "request-1") is not None
    await ledger.authorize(opening(2))
    assert kinds(url) == ["task_started", "grant_authorized"] * 2


async def test_a_text_that_postgresql_cannot_hold_takes_nobody_with_it(ledger: DatabaseLedger, url: str) -> None:
    unwritable = GrantExpired("task\0", grant_id(1), NOON)  # no token or message that is let in has such a text

    outcomes = await asyncio.gather(
        ledger.record(refused_record("before")),
        ledger.record(unwritable),
        ledger.record(refused_record("after")),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), Outage, type(None)]
    assert kinds(url) == ["request_refused", "request_refused"]
    assert isinstance(verify(url), ChainIntact)


# What is lost while it commits


@dataclass
class Relay:
    """Stands between a ledger and its server, and cuts the connection at the commit that it is told of."""

    server: PostgresqlServer
    done: bool = False  # whether the server gets the commit
    cuts: bool = False
    ends: list[socket.socket] = field(default_factory=list)
    pumps: list[threading.Thread] = field(default_factory=list)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def cut_at_the_next_commit(self, *, done: bool) -> None:
        """Lets the server have it or not, and the ledger not know which."""
        self.done, self.cuts = done, True

    def serve(self) -> None:
        """Takes connections until it is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.server.port))
            self.ends += [client, server]
            self.pumps += [threading.Thread(target=pump, args=(client, server)) for pump in (self._up, self._down)]
            for pump in self.pumps[-2:]:
                pump.start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            if self.cuts and b"COMMIT\0" in data:
                self.cuts = False
                if self.done:
                    self._have_it_committed(client, server, data)
                break
            server.sendall(data)
        _cut(client, server)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(server):
            with contextlib.suppress(OSError):
                client.sendall(data)
        _cut(client, server)

    def _have_it_committed(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        """Sends the commit after the ledger cannot hear of it any more, and returns once the session has ended."""
        _cut(client)
        server.sendall(data + b"X\0\0\0\4")  # and then: terminate
        while _received(server):
            pass


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65_536)
    except OSError:
        return b""


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay(server: PostgresqlServer) -> Iterator[Relay]:
    between = Relay(server)
    thread = threading.Thread(target=between.serve)
    thread.start()
    yield between
    _cut(between.listener, *between.ends)
    for one in (thread, *between.pumps):
        one.join()
    for end in (between.listener, *between.ends):
        end.close()


@pytest.fixture
async def relayed(relay: Relay, server: PostgresqlServer, url: str) -> AsyncIterator[DatabaseLedger]:
    """A ledger that reaches its server over the relay, in the clear."""
    name = url.partition("@/")[2].partition("?")[0]
    through = f"postgresql://postgres@127.0.0.1:{relay.port}/{name}?sslmode=disable"
    async with open_ledger(through, FakeClock(), password_file=server.password_file) as found:
        yield found


@pytest.mark.parametrize("done", [True, False])
async def test_an_authorization_lost_at_its_commit_is_refused_and_stands_as_failed_or_not_at_all(
    relay: Relay, relayed: DatabaseLedger, url: str, *, done: bool
) -> None:
    relay.cut_at_the_next_commit(done=done)

    with pytest.raises(Outage) as raised:
        await relayed.authorize(opening(1))
    await until_recorded(relayed, "it goes on")

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    assert isinstance(raised.value.__cause__, OutcomeUnknown)
    assert kinds(url) == (["task_started", "grant_authorized", "issuance_failed"] if done else []) + ["request_refused"]
    assert asked(url, "SELECT state FROM grants") == ([("FAILED",)] if done else [])
    assert isinstance(verify(url), ChainIntact)


@pytest.mark.parametrize("done", [True, False])
async def test_an_issuance_lost_at_its_commit_is_refused_and_its_grant_is_being_revoked(
    relay: Relay, relayed: DatabaseLedger, url: str, *, done: bool
) -> None:
    await relayed.authorize(opening(1))
    relay.cut_at_the_next_commit(done=done)

    with pytest.raises(Outage):
        await relayed.issue(grant_id(1), an_issuance(), issued_record())
    await until_recorded(relayed, "it goes on")

    assert state_of(url) == "REVOKING"
    assert kinds(url)[2:] == [*(["credentials_issued"] if done else []), "grant_withheld", "request_refused"]
    assert isinstance(verify(url), ChainIntact)


async def test_an_operation_that_had_lost_anyway_is_not_taken_back(
    relay: Relay, relayed: DatabaseLedger, url: str
) -> None:
    await relayed.authorize(opening(1))
    relay.cut_at_the_next_commit(done=True)

    with pytest.raises(Outage):  # its request is being answered: it would have been refused for that
        await relayed.authorize(an_authorization())
    await until_recorded(relayed, "it goes on")

    assert state_of(url) == "AUTHORIZED"


# Others who hold it


async def test_a_replica_that_was_stopped_in_its_transaction_holds_up_the_others_for_seconds_only(
    ledger: DatabaseLedger, url: str
) -> None:
    stopped = connected(url)
    stopped.execute("SET idle_in_transaction_session_timeout = '1500ms'")  # as a gateway's sessions have it, of 5 s
    stopped.commit()
    stopped.execute("SELECT pg_advisory_xact_lock(%s)", (patience.LOCK,))

    with pytest.raises(Outage):
        await ledger.record(refused_record("not recorded"))
    await until_recorded(ledger, "it goes on")

    assert kinds(url) == ["request_refused"]
    stopped.close()


async def test_replicas_that_get_on_are_waited_for_longer_than_one_that_does_not(url: str) -> None:
    database = open_database(url, patience=timedelta(seconds=1))
    holding = connected(url)
    holding.execute("SELECT pg_advisory_xact_lock(%s)", (patience.LOCK,))
    writing = asyncio.create_task(database.write(lambda _: "written"))

    for _ in range(8):  # statements of a slow transaction
        await asyncio.sleep(0.2)
        holding.execute("SELECT 1")
    holding.rollback()

    assert await writing == "written"
    holding.close()
    await database.close()
