"""Several processes that write to one ledger: each gets its turn, and none is waited for without end."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest
from tests.databases import Place, held
from tests.fakes import FakeClock
from tests.ledger_values import opening, refused_record

from remit_server.adapters.database import engine
from remit_server.adapters.database.engine import DatabaseRefused, open_database, turns
from remit_server.adapters.database.engine.turns import FileTurns, TurnNotGot
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.trail.audit_log import events, verify
from remit_server.adapters.database.writing import group_commit
from remit_server.domain.audit import ChainIntact
from remit_server.domain.errors import Outage, Reason

PATIENCE = 60.0  # of these tests: another process that hangs is ended then, and its test fails
PROJECT = Path(__file__).resolve().parents[2]
NEXT = 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


class Other:
    """Another process; `has_it` and `gave_it_up` wait until it says so."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def go_on(self) -> None:
        """Lets it ask for a turn, or give up the one it has."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def says(self) -> str:
        """Returns what it says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def ended_in_time(process: subprocess.Popen[str]) -> Iterator[None]:
    """Ends a process that takes longer than these tests may: whoever reads from it then reads nothing."""
    timer = threading.Timer(PATIENCE, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.fixture
def another(path: Path) -> Iterator[Callable[[], Other]]:
    """Starts other processes at the same database."""
    with ExitStack() as stack:

        def start() -> Other:
            process = subprocess.Popen(  # noqa: S603 - this test's own program
                [sys.executable, str(PROJECT / "tests/turn_taker.py"), str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            stack.enter_context(ended_in_time(process))
            return Other(process)

        yield start


def wait_until_somebody_is_next(path: Path) -> None:
    """Returns once a process has the lock of the one that is next."""
    given_up = time.monotonic() + PATIENCE
    with path.with_name(f"{path.name}-turns").open("r+b") as file:
        while time.monotonic() < given_up:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, NEXT)
            except BlockingIOError:
                return
            fcntl.lockf(file, fcntl.LOCK_UN, 1, NEXT)
    pytest.fail("nobody waits to be next")


def test_who_waits_is_next_before_the_one_that_has_just_had_its_turn(another: Callable[[], Other], path: Path) -> None:
    one, other = another(), another()
    one.go_on()
    assert one.says() == "has it"
    other.go_on()
    wait_until_somebody_is_next(path)

    one.go_on()
    one.go_on()

    assert one.says() == "gave it up"
    assert other.says() == "has it"
    other.go_on()
    assert other.says() == "gave it up"
    assert one.says() == "has it"


def test_a_process_that_is_stopped_in_its_turn_is_not_waited_for_without_end(
    another: Callable[[], Other], path: Path
) -> None:
    other = another()
    other.go_on()
    assert other.says() == "has it"
    other.process.send_signal(signal.SIGSTOP)
    with closing(FileTurns(path, 0.05)) as mine, pytest.raises(TurnNotGot), mine.taken():
        pass

    other.process.kill()
    other.process.wait()

    with closing(FileTurns(path, 0.05)) as mine, mine.taken() as seconds:
        assert seconds == 0.05


def test_those_who_get_on_are_waited_for_longer(another: Callable[[], Other], path: Path) -> None:
    other = another()
    other.go_on()
    assert other.says() == "has it"
    got, patience = threading.Event(), 0.2

    def take() -> None:
        with closing(FileTurns(path, patience)) as mine, mine.taken():
            got.set()

    waiting = threading.Thread(target=take)
    begun = time.monotonic()
    waiting.start()
    count = 0
    with path.with_name(f"{path.name}-turns").open("r+b", buffering=0) as file:
        while time.monotonic() - begun < 3 * patience:  # as others do that have their turns meanwhile
            count += 1
            os.pwrite(file.fileno(), count.to_bytes(8, "little"), 8)
    other.go_on()
    waiting.join(PATIENCE)

    assert got.is_set()


def test_after_a_failure_the_next_turn_is_asked_for_with_less_patience_until_one_came(path: Path) -> None:
    with closing(FileTurns(path, 0.5)) as mine:
        with pytest.raises(ZeroDivisionError), mine.taken() as first:
            raise ZeroDivisionError
        with mine.taken() as second:
            pass
        with mine.taken() as third:
            pass

    assert (first, second, third) == (0.5, turns.AFTER_A_FAILURE, 0.5)


def test_without_its_file_the_database_is_refused(path: Path) -> None:
    path.with_name(f"{path.name}-turns").mkdir()

    with pytest.raises(DatabaseRefused, match="-turns cannot be opened for writing"):
        open_database(path)


def test_a_ledger_that_somebody_holds_is_refused_within_a_second() -> None:
    """The wait of the operation and that of recording its refusal, one after the other (8-threats.md, faults)."""
    assert engine.PATIENCE + timedelta(seconds=turns.AFTER_A_FAILURE) <= timedelta(seconds=1)
    assert timedelta(seconds=1) > group_commit.STUCK_AFTER


async def test_a_ledger_that_somebody_holds_refuses_the_call_and_then_its_record(place: Place) -> None:
    async with open_ledger(place, FakeClock()) as ledger:
        with held(place):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(Outage) as authorizing:
                    await ledger.authorize(opening(1))
                with pytest.raises(Outage) as recording:
                    await ledger.record(refused_record("not recorded"))
        await ledger.record(refused_record("recorded"))

    assert {authorizing.value.reason, recording.value.reason} == {Reason.LEDGER_UNAVAILABLE}
    assert [json.loads(event.body_text)["message"] for event in events(place)] == ["recorded"]


async def test_a_ledger_whose_turn_a_stopped_process_has_refuses_the_call_and_then_its_record(
    another: Callable[[], Other], path: Path
) -> None:
    async with open_ledger(path, FakeClock()) as ledger:
        other = another()
        other.go_on()
        await asyncio.to_thread(other.says)

        async with asyncio.timeout(PATIENCE):
            with pytest.raises(Outage) as authorizing:
                await ledger.authorize(opening(1))
            with pytest.raises(Outage) as recording:
                await ledger.record(refused_record("not recorded"))
        other.process.kill()
        other.process.wait()
        await ledger.record(refused_record("recorded"))

    assert {authorizing.value.reason, recording.value.reason} == {Reason.LEDGER_UNAVAILABLE}
    assert [json.loads(event.body_text)["message"] for event in events(path)] == ["recorded"]


def test_two_busy_processes_take_turns_and_the_chain_stays_whole(place: Place) -> None:
    """The records alternate: neither process is shut out for more than a few of the other's batches."""
    writers = [
        subprocess.Popen(  # noqa: S603 - this test's own program
            [sys.executable, "-m", "tests.ledger_writer", str(place), str(first)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (1, 1_000_001)
    ]
    try:
        with ended_in_time(writers[0]), ended_in_time(writers[1]):
            for writer in writers:  # both have begun
                assert writer.stdout is not None
                writer.stdout.readline()
            begun = len(list(events(place)))
            for writer in writers:
                assert writer.stdout is not None
                for _ in range(1500):
                    assert writer.stdout.readline()
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()

    assert isinstance(verify(place), ChainIntact)
    numbers = [found for event in events(place) if (found := number_of(event.body_text)) is not None]
    both_wrote = numbers[begun:-1000]
    runs = [len(list(run)) for _, run in groupby(both_wrote, key=lambda number: number > 1_000_000)]
    assert len(runs) > 10


def number_of(body: str) -> int | None:
    """Returns which of its writer's records this is, for those that say so."""
    message = json.loads(body).get("message", "")
    return int(message.removeprefix("record ")) if message.startswith("record ") else None
