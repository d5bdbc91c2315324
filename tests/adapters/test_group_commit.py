import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from tests.databases import Place, held
from tests.fakes import FakeClock
from tests.ledger_values import asked, kinds, refused_record

from remit_server.adapters.database.engine import Database, open_database
from remit_server.adapters.database.engine.hands import MOST_WAITING
from remit_server.adapters.database.migrations import migrate
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.adapters.database.writing.batch import Batch, Operation
from remit_server.adapters.database.writing.group_commit import GroupCommit
from remit_server.adapters.database.writing.store import Store
from remit_server.domain.audit import AuditRecord, ChainIntact
from remit_server.domain.decision import canonical_json
from remit_server.domain.errors import Denied, Outage, Reason, RemitError


@pytest.fixture
def path(place: Place) -> Place:
    return place


@pytest.fixture
async def database(path: Place) -> AsyncIterator[Database]:
    opened = open_database(path, patience=timedelta(milliseconds=50))
    await opened.write(migrate)
    yield opened
    await opened.close()


@pytest.fixture
async def commit(database: Database) -> AsyncIterator[GroupCommit]:
    started = GroupCommit(database, FakeClock())
    started.start()
    yield started
    await started.close()


class Writes:
    """An operation that records a refusal with this message and answers with it."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __call__(self, batch: Batch) -> str:
        batch.append(refused_record(self.message))
        return self.message


class Blocks:
    """An operation that holds the writer in the middle of its transaction until it is let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, batch: Batch) -> None:
        batch.append(refused_record("blocked"))
        self.reached.set()
        self.let_go.wait(60)


def loses(_: Batch) -> RemitError | None:
    return Denied(Reason.GRANT_NOT_LIVE, "over")


def breaks(_: Batch) -> None:
    raise ZeroDivisionError


def adds_what_the_database_refuses(batch: Batch) -> None:
    batch.connection.exec_driver_sql("INSERT INTO audit_head (id, sequence, hash) VALUES (2, 0, '')")


class Unwritable(AuditRecord):
    """A record that cannot be made into text."""

    def text(self) -> str:
        return canonical_json({"value": float("nan")})


def appends_the_unwritable(batch: Batch) -> None:
    batch.append(Unwritable())


async def blocked(commit: GroupCommit, counterpart: Operation[str] | None = None) -> tuple[Blocks, asyncio.Task[None]]:
    """Blocks the writer and returns once it stands."""
    block = Blocks()
    task = asyncio.create_task(commit(block, counterpart=counterpart))
    await asyncio.to_thread(block.reached.wait)
    return block, task


async def test_what_waits_is_committed_at_once_in_its_order(
    database: Database, commit: GroupCommit, path: Place
) -> None:
    commits: list[object] = []
    assert database.writer is not None
    event.listen(database.writer, "commit", commits.append)
    block, first = await blocked(commit)
    waiting = [asyncio.create_task(commit(Writes(f"message {number}"))) for number in range(64)]
    await asyncio.sleep(0)

    block.let_go.set()
    answers = await asyncio.gather(first, *waiting)

    assert answers[1:] == [f"message {number}" for number in range(64)]
    assert len(commits) == 2
    messages = asked(path, "SELECT json_extract(body, '$.message') FROM audit_events ORDER BY sequence")
    assert [message for (message,) in messages] == ["blocked", *answers[1:]]


async def test_an_onlooker_that_fails_keeps_nobody_from_an_answer(
    database: Database, path: Place, caplog: pytest.LogCaptureFixture
) -> None:
    def onlooker(_records: Sequence[AuditRecord], _seconds: float) -> None:
        raise ZeroDivisionError("a word of somebody's")

    commit = GroupCommit(database, FakeClock(), observer=onlooker)
    commit.start()

    answers = [await commit(Writes("a")), await commit(Writes("b"))]
    await commit.close()

    assert answers == ["a", "b"]
    assert kinds(path) == ["request_refused", "request_refused"]
    assert [record.getMessage() for record in caplog.records] == [
        "who looks on at records failed: ZeroDivisionError"
    ] * 2


async def test_a_loser_fails_alone(commit: GroupCommit, path: Place) -> None:
    outcomes = await asyncio.gather(commit(Writes("a")), commit(loses), commit(Writes("b")), return_exceptions=True)

    assert outcomes[0] == "a"
    assert isinstance(outcomes[1], Denied)
    assert outcomes[2] == "b"
    assert kinds(path) == ["request_refused", "request_refused"]


@pytest.mark.parametrize("poison", [breaks, adds_what_the_database_refuses, appends_the_unwritable])
async def test_an_operation_that_cannot_be_written_takes_nobody_with_it(
    commit: GroupCommit, path: Place, poison: Operation[None]
) -> None:
    outcomes = await asyncio.gather(
        commit(Writes("a")),
        commit(poison),
        commit(Writes("b")),
        return_exceptions=True,
    )

    assert outcomes[0] == "a"
    assert isinstance(outcomes[1], Outage)
    assert outcomes[1].reason is Reason.LEDGER_UNAVAILABLE
    assert outcomes[1].__cause__ is not None
    assert outcomes[2] == "b"
    assert kinds(path) == ["request_refused", "request_refused"]
    assert isinstance(verify(path), ChainIntact)


async def test_nothing_is_done_while_another_process_holds_the_database(commit: GroupCommit, path: Place) -> None:
    with held(path):
        outcomes = await asyncio.gather(*(commit(Writes("a")) for _ in range(3)), return_exceptions=True)
    assert kinds(path) == []

    again = await commit(Writes("b"))

    assert [type(outcome) for outcome in outcomes] == [Outage] * 3
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Outage)} == {Reason.LEDGER_UNAVAILABLE}
    assert again == "b"
    assert kinds(path) == ["request_refused"]


async def test_a_read_only_database_is_an_outage_until_it_can_be_written(
    database: Database, commit: GroupCommit, path: Place
) -> None:
    assert database.writer is not None
    read_only = [True]
    database.writer.dispose()
    event.listen(database.writer, "connect", lambda connection, _: write_nothing(connection, only_reads=read_only[0]))

    with pytest.raises(Outage) as raised:
        await commit(Writes("a"))
    read_only[0] = False

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    assert await commit(Writes("b")) == "b"
    assert kinds(path) == ["request_refused"]


def write_nothing(connection: Any, *, only_reads: bool) -> None:
    """Has a connection that is made meet a database that cannot be written: a full disk's, or a standby's."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA query_only={int(only_reads)}").close()
    elif only_reads:
        connection.execute("SET default_transaction_read_only = on")


async def test_more_than_may_wait_is_overload(database: Database, path: Place) -> None:
    commit = GroupCommit(database, FakeClock(), max_waiting=2)
    commit.start()
    block, first = await blocked(commit)
    waiting = [asyncio.create_task(commit(Writes("a"))) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(Outage) as raised:
        await commit(Writes("too many"))

    assert raised.value.reason is Reason.OVERLOADED
    assert raised.value.retry_after is not None
    block.let_go.set()
    await asyncio.gather(first, *waiting)
    assert await commit(Writes("b")) == "b"
    await commit.close()
    assert len(kinds(path)) == 4


async def test_a_disk_that_does_not_answer_is_an_outage_and_what_waited_is_not_done(
    database: Database, path: Place
) -> None:
    commit = GroupCommit(database, FakeClock(), patience=timedelta(milliseconds=30))
    commit.start()
    block, first = await blocked(commit)

    with pytest.raises(Outage) as waited:
        await commit(Writes("waited"))
    with pytest.raises(Outage) as in_the_middle:
        await first
    with pytest.raises(Outage) as later:
        await commit(Writes("later"))

    reasons = {raised.value.reason for raised in (waited, in_the_middle, later)}
    assert reasons == {Reason.LEDGER_UNAVAILABLE}
    block.let_go.set()
    await commit.close()
    messages = asked(path, "SELECT json_extract(body, '$.message') FROM audit_events")
    assert messages == [("blocked",)]  # it was under way; nobody was told that it is done


async def test_a_writer_that_is_stuck_refuses_everybody_who_waits_though_they_have_patience(
    database: Database, path: Place
) -> None:
    commit = GroupCommit(database, FakeClock(), patience=timedelta(hours=1), stuck_after=timedelta(milliseconds=400))
    commit.start()
    block, first = await blocked(commit)
    behind = asyncio.create_task(commit(Writes("behind")))

    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(first, behind, return_exceptions=True)
    with pytest.raises(Outage) as later:
        await commit(Writes("later"))

    refused = [outcome for outcome in (*outcomes, later.value) if isinstance(outcome, Outage)]
    assert [outage.reason for outage in refused] == [Reason.LEDGER_UNAVAILABLE] * 3
    block.let_go.set()
    await database.write(lambda _: None)  # stands behind what was blocked
    assert await commit(Writes("again")) == "again"
    await commit.close()
    messages = asked(path, "SELECT json_extract(body, '$.message') FROM audit_events ORDER BY sequence")
    assert messages == [("blocked",), ("again",)]


async def test_a_large_batch_that_gets_on_is_slow_and_not_stuck(database: Database) -> None:
    def slow(_: Batch) -> str:
        time.sleep(0.4)
        return "done"

    impatient = GroupCommit(database, FakeClock(), stuck_after=timedelta(seconds=1))
    impatient.start()

    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(impatient(slow) for _ in range(4)))

    assert answers == ["done"] * 4
    await impatient.close()


async def test_an_operation_of_many_statements_is_slow_and_not_stuck(database: Database) -> None:
    def slow(batch: Batch) -> str:
        for _ in range(8):
            time.sleep(0.2)
            batch.connection.exec_driver_sql("SELECT 1")
        return "done"

    impatient = GroupCommit(database, FakeClock(), stuck_after=timedelta(seconds=1))
    impatient.start()

    async with asyncio.timeout(60):
        answer = await impatient(slow)

    assert answer == "done"
    await impatient.close()


async def test_a_writer_that_is_stuck_still_ends_when_told_to(database: Database) -> None:
    commit = GroupCommit(database, FakeClock(), stuck_after=timedelta(milliseconds=400))
    commit.start()
    block, first = await blocked(commit)
    closing = asyncio.create_task(commit.close())
    async with asyncio.timeout(60):
        with pytest.raises(Outage):
            await first

        block.let_go.set()

        await closing


async def test_it_recovers_from_a_disk_that_did_not_answer(database: Database) -> None:
    commit = GroupCommit(database, FakeClock(), patience=timedelta(seconds=1))
    commit.start()
    block, first = await blocked(commit)
    with pytest.raises(Outage):
        await first

    block.let_go.set()
    await database.write(lambda _: None)  # stands behind what was blocked

    assert await commit(Writes("b")) == "b"
    await commit.close()


async def test_what_a_caller_gave_up_before_its_turn_is_not_done(commit: GroupCommit, path: Place) -> None:
    block, first = await blocked(commit)
    given_up = asyncio.create_task(commit(Writes("given up")))
    kept = asyncio.create_task(commit(Writes("kept")))
    await asyncio.sleep(0)

    given_up.cancel()
    block.let_go.set()
    await asyncio.gather(first, kept)

    messages = asked(path, "SELECT json_extract(body, '$.message') FROM audit_events ORDER BY sequence")
    assert messages == [("blocked",), ("kept",)]


# What is written after its caller was told that it is not


def messages(path: Place) -> list[str]:
    """Returns what was recorded, in its order."""
    query = "SELECT json_extract(body, '$.message') FROM audit_events ORDER BY sequence"
    return [message for (message,) in asked(path, query)]


@pytest.fixture
async def hasty(database: Database) -> AsyncIterator[GroupCommit]:
    """Takes the writer for stuck after 0.4 s."""
    started = GroupCommit(database, FakeClock(), stuck_after=timedelta(milliseconds=400))
    started.start()
    yield started
    async with asyncio.timeout(60):
        await started.close()


async def refused(commit: GroupCommit, database: Database, counterpart: Operation[str]) -> None:
    """Blocks the writer until the caller has been refused, then has what was blocked committed."""
    block, first = await blocked(commit, counterpart)
    async with asyncio.timeout(60):
        with pytest.raises(Outage):
            await first
    block.let_go.set()
    await database.write(lambda _: None)  # stands behind what was blocked


async def test_what_was_written_after_its_caller_was_refused_is_taken_back_before_anything_else(
    database: Database, hasty: GroupCommit, path: Place
) -> None:
    await refused(hasty, database, Writes("taken back"))

    await hasty(Writes("later"))

    assert messages(path) == ["blocked", "taken back", "later"]


async def test_it_is_taken_back_though_nobody_writes_afterwards(
    database: Database, hasty: GroupCommit, path: Place
) -> None:
    await refused(hasty, database, Writes("taken back"))

    await hasty.close()

    assert messages(path) == ["blocked", "taken back"]


async def test_what_waited_behind_a_stuck_writer_was_not_written_and_is_not_taken_back(
    database: Database, hasty: GroupCommit, path: Place
) -> None:
    block, first = await blocked(hasty)
    behind = asyncio.create_task(hasty(Writes("behind"), counterpart=Writes("taken back")))

    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(first, behind, return_exceptions=True)
    block.let_go.set()
    await database.write(lambda _: None)
    await hasty(Writes("later"))

    assert [type(outcome) for outcome in outcomes] == [Outage, Outage]
    assert messages(path) == ["blocked", "later"]


async def test_what_its_caller_was_told_is_not_taken_back(commit: GroupCommit, path: Place) -> None:
    await commit(Writes("a"), counterpart=Writes("taken back"))
    await commit(Writes("b"))

    assert messages(path) == ["a", "b"]


async def test_what_lost_after_its_caller_was_refused_is_not_taken_back(
    database: Database, hasty: GroupCommit, path: Place
) -> None:
    block = Blocks()

    def loses_late(batch: Batch) -> RemitError | None:
        block.reached.set()
        block.let_go.wait(60)
        return loses(batch)

    first = asyncio.create_task(hasty(loses_late, counterpart=Writes("taken back")))
    await asyncio.to_thread(block.reached.wait)

    async with asyncio.timeout(60):
        with pytest.raises(Outage):
            await first
    block.let_go.set()
    await database.write(lambda _: None)
    await hasty(Writes("later"))

    assert messages(path) == ["later"]


async def test_a_caller_who_goes_just_as_its_answer_comes_has_it_taken_back(commit: GroupCommit, path: Place) -> None:
    block, first = await blocked(commit)
    goes: list[asyncio.Task[str]] = []

    async def makes_the_other_go() -> None:
        await commit(Writes("a"))
        goes[0].cancel()  # whose answer is there as well: both are of one batch

    stays = asyncio.create_task(makes_the_other_go())
    await asyncio.sleep(0)
    goes.append(asyncio.create_task(commit(Writes("b"), counterpart=Writes("taken back"))))
    await asyncio.sleep(0)

    block.let_go.set()
    await asyncio.gather(first, stays)
    with pytest.raises(asyncio.CancelledError):
        await goes[0]
    await commit(Writes("later"))

    assert messages(path) == ["blocked", "a", "b", "taken back", "later"]


class FailsAtFirst(Writes):
    """A counterpart that fails the first time, with this error."""

    def __init__(self, error: Exception) -> None:
        super().__init__("taken back")
        self.error = error
        self.calls = 0

    def __call__(self, batch: Batch) -> str:
        self.calls += 1
        if self.calls == 1:
            raise self.error
        return super().__call__(batch)


async def test_what_cannot_be_taken_back_while_the_store_fails_is_owed_to_the_next_batch(
    database: Database, hasty: GroupCommit, path: Place, caplog: pytest.LogCaptureFixture
) -> None:
    counterpart = FailsAtFirst(OSError("the disk is full"))
    await refused(hasty, database, counterpart)

    await hasty(Writes("later"))
    await hasty(Writes("last"))

    assert messages(path) == ["blocked", "taken back", "later", "last"]
    assert counterpart.calls == 2
    assert "is not taken back" in caplog.text


async def test_a_counterpart_that_can_never_be_written_is_given_up(
    database: Database, hasty: GroupCommit, path: Place
) -> None:
    counterpart = FailsAtFirst(ZeroDivisionError())
    await refused(hasty, database, counterpart)

    await hasty(Writes("later"))

    assert messages(path) == ["blocked", "later"]
    assert counterpart.calls == 1


async def test_what_is_still_owed_at_the_end_is_told_in_the_log(
    database: Database, hasty: GroupCommit, path: Place, caplog: pytest.LogCaptureFixture
) -> None:
    def never(_: Batch) -> str:
        raise OSError("the disk is full")

    await refused(hasty, database, never)

    await hasty.close()

    assert messages(path) == ["blocked"]
    assert "1 operations could not be taken back" in caplog.text


async def test_a_batch_that_is_tried_again_one_by_one_leaves_out_who_was_refused_meanwhile(
    database: Database, path: Place
) -> None:
    commit = GroupCommit(database, FakeClock(), patience=timedelta(milliseconds=500))
    commit.start()
    before, first = await blocked(commit)
    block = Blocks()
    batch = [asyncio.create_task(commit(one)) for one in (block, Writes("refused"), breaks)]
    await asyncio.sleep(0)
    before.let_go.set()
    assert await asyncio.to_thread(block.reached.wait, 10)

    outcomes = await asyncio.gather(*batch, return_exceptions=True)
    block.let_go.set()
    await database.write(lambda _: None)
    await commit(Writes("later"))
    await asyncio.gather(first, return_exceptions=True)
    await commit.close()

    assert [type(outcome) for outcome in outcomes] == [Outage] * 3
    assert messages(path) == ["blocked", "later"]


async def test_closing_commits_what_waits_and_refuses_what_comes_later(database: Database, path: Place) -> None:
    commit = GroupCommit(database, FakeClock())
    commit.start()
    waiting = [asyncio.create_task(commit(Writes("a"))) for _ in range(5)]
    await asyncio.sleep(0)

    await commit.close()

    assert await asyncio.gather(*waiting) == ["a"] * 5
    with pytest.raises(Outage) as raised:
        await commit(Writes("late"))
    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    assert len(kinds(path)) == 5


async def test_a_batch_has_one_time_and_the_chain_keeps_it(database: Database, path: Place) -> None:
    clock = FakeClock()
    commit = GroupCommit(database, clock)
    commit.start()
    await commit(Writes("a"))
    clock.advance(seconds=1.5)

    await asyncio.gather(commit(Writes("b")), commit(Writes("c")))
    await commit.close()

    times = [time for (time,) in asked(path, "SELECT time FROM audit_events ORDER BY sequence")]
    assert times == ["2026-11-23T12:00:00.000000+00:00", *["2026-11-23T12:00:01.500000+00:00"] * 2]
    head = asked(path, "SELECT sequence, hash FROM audit_head")
    assert head == asked(path, "SELECT sequence, event_hash FROM audit_events ORDER BY sequence DESC LIMIT 1")


async def test_reads_beyond_what_may_wait_find_the_gateway_full(database: Database, commit: GroupCommit) -> None:
    store, go_on = Store(database, commit, FakeClock()), threading.Event()
    asked = [asyncio.create_task(store.read(lambda _: go_on.wait())) for _ in range(MOST_WAITING + 10)]

    await asyncio.sleep(0)
    refused = [one.exception() for one in asked if one.done()]
    for one in asked:
        one.cancel()
    go_on.set()
    await asyncio.wait(asked)

    assert len(refused) >= 8  # two are read, if both threads have come to them
    assert {error.reason for error in refused if isinstance(error, Outage)} == {Reason.OVERLOADED}
