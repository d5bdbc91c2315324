"""The writer of revocations, with an outbox and an AWS that fail when a test says so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from tests.fake_outbox import MARK, FakeAws, FakeOutbox, once
from tests.fakes import FakeClock
from tests.revocation_world import ACCOUNT, NOW, Session, deny, part

from remit_server.application.revocation.account_writer import AccountWriter, Parts
from remit_server.application.revocation.canaries import Canaries
from remit_server.application.revocation.placing import CANARY_ROOM, Room
from remit_server.application.revocation.ports import LeaseLost, NotWritten
from remit_server.application.revocation.rendering import render
from remit_server.application.revocation.texts import policy_text
from remit_server.application.revocation.write_denies import WriteDenies
from remit_server.domain.revocation import SessionDeny

AGO = timedelta(minutes=10)


@dataclass
class Stage:
    """A writer, its outbox, its AWS, and a clock that moves when the writer pauses."""

    clock: FakeClock
    outbox: FakeOutbox
    aws: FakeAws

    @classmethod
    def create(cls) -> "Stage":
        clock = FakeClock(NOW)
        return cls(clock, FakeOutbox(clock), FakeAws(clock))

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)
        await asyncio.sleep(0)

    def parts(self, holder: str = "one", room: Room | None = None, *, clock_settled: bool = True) -> Parts:
        canaries = Canaries(self.aws, self.outbox, self.clock, bytes, holder, self.pause)
        return Parts(
            self.outbox,
            self.aws,
            canaries,
            self.clock,
            holder,
            room=room or Room(),
            unsettled_for=lambda: None if clock_settled else timedelta(seconds=9),
            pause=self.pause,
        )

    def writer(self, holder: str = "one", room: Room | None = None) -> AccountWriter:
        return AccountWriter(ACCOUNT, self.parts(holder, room))


@pytest.fixture
def stage() -> Stage:
    return Stage.create()


def session(number: int, *, ago: timedelta = AGO, lives: timedelta = timedelta(hours=1)) -> Session:
    return Session(1, 1, number, NOW - ago, lives=lives)


def place_of_line(stage: Stage, one: SessionDeny) -> int:
    """Returns in which policy the line of a deny stands."""
    pages = render([one], stage.clock.now(), {}, Room()).pages
    return next(place for place, page in enumerate(pages) if page)


async def until(holds: Callable[[], object], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Waits until something is true, and does something meanwhile."""
    async with asyncio.timeout(30):
        while not holds():
            meanwhile()
            await asyncio.sleep(0.001)


async def settled(writer: AccountWriter) -> None:
    """Lets the watches of canaries end."""
    await until(lambda: not writer.parts.canaries.watches)


async def test_what_waits_is_written_in_one_version_and_told_as_assumed(stage: Stage) -> None:
    stage.aws.has_canaries = False
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(30)))
    writer = stage.writer()

    await writer()

    assert all(stage.aws.refuses(session(number)) for number in range(30))
    assert not stage.aws.refuses(session(31))
    assert sorted(stage.aws.writes()) == [0, 1, 2, 3]
    assert stage.outbox.told("denied") == [
        (ACCOUNT, "one", tuple(range(30)), stage.clock.now(), stage.clock.now() + timedelta(seconds=300))
    ]
    assert stage.outbox.told("observed") == []


async def test_a_revoke_is_observed_when_every_canary_of_its_batch_is_refused(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]), deny(2, [session(2)]))
    writer = stage.writer()

    await writer()
    assert stage.outbox.told("observed") == []
    await settled(writer)

    [(account, holder, numbers, effective)] = stage.outbox.told("observed")
    assert (account, holder, numbers) == (ACCOUNT, "one", (1, 2))
    assert isinstance(effective, datetime)
    assert effective >= NOW + stage.aws.delay
    assert stage.aws.open_canaries == set()


async def test_each_policy_that_changes_has_a_canary_of_its_own(stage: Stage) -> None:
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(30)))
    writer = stage.writer()

    await writer()
    await settled(writer)

    assert len([entry for entry in stage.aws.log if entry[0] == "canary"]) == 4
    assert all("canary.canary." in text for text in stage.aws.texts)


async def test_a_canary_vouches_only_for_what_stands_in_its_own_policy(stage: Stage) -> None:
    stage.aws.has_canaries = False
    stage.outbox.want(deny(1, [session(1)]))
    writer = stage.writer()
    await writer()
    stage.aws.has_canaries = True
    changes = next(
        number
        for number in range(2, 99)
        if place_of_line(stage, deny(number, [session(number)])) != place_of_line(stage, deny(1, [session(1)]))
    )

    stage.outbox.want(deny(100, [session(1)]), deny(changes, [session(changes)]))
    await writer()
    await settled(writer)

    [(_, _, numbers, _)] = stage.outbox.told("observed")
    assert numbers == (changes,)


async def test_a_canary_that_is_never_refused_leaves_it_assumed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.aws.delay = timedelta(days=1)
    stage.outbox.want(deny(1, [session(1)]))
    writer = AccountWriter(ACCOUNT, stage.parts())
    object.__setattr__(writer.parts, "bound", timedelta(seconds=0.05))

    await writer()
    await settled(writer)

    assert stage.outbox.told("observed") == []
    assert "is not refused" in caplog.text
    assert stage.aws.open_canaries == set()


async def test_what_is_in_force_already_is_not_written_again(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    writer = stage.writer()
    await writer()
    written = stage.aws.writes()

    await writer()
    await writer()

    assert stage.aws.writes() == written
    assert len(stage.outbox.told("denied")) == 1


async def test_a_lost_answer_is_mended_by_reading_what_aws_has(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    stage.aws.failing = lambda when, _: fail() if when == "after" else None
    fail = once(NotWritten("no answer"))
    writer = stage.writer()

    with pytest.raises(NotWritten):
        await writer()
    assert stage.outbox.told("denied") == []
    await writer()

    assert len(stage.aws.writes()) == 1
    assert [call[2] for call in stage.outbox.told("denied")] == [(1,)]
    await settled(writer)
    assert stage.outbox.told("observed") == []  # no canary stands in the text that was written without an answer


async def test_a_batch_of_which_half_was_written_is_finished_and_only_assumed(stage: Stage) -> None:
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(30)))
    stage.aws.failing = lambda when, place: fail() if (when, place) == ("before", 2) else None
    fail = once(NotWritten("throttled"))
    writer = stage.writer()

    with pytest.raises(NotWritten):
        await writer()
    await writer()
    await settled(writer)

    assert all(stage.aws.refuses(session(number)) for number in range(30))
    assert [call[2] for call in stage.outbox.told("denied")] == [tuple(range(30))]
    assert stage.outbox.told("observed") == []
    assert stage.aws.open_canaries == set()


async def test_a_ledger_that_fails_after_the_write_is_told_at_the_next_turn(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    stage.outbox.failing = lambda what: fail() if what == "denied" else None
    fail = once(RuntimeError("the ledger is away"))
    writer = stage.writer()

    with pytest.raises(RuntimeError):
        await writer()
    await writer()

    assert [call[2] for call in stage.outbox.told("denied")] == [(1,)]
    assert len(stage.aws.writes()) == 1


async def test_who_does_not_hold_the_lease_reads_and_writes_nothing(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    assert await stage.outbox.hold(ACCOUNT, "another", 30)

    await stage.writer()()

    assert stage.aws.log == []


async def test_who_takes_the_lease_after_another_reads_what_aws_has(stage: Stage) -> None:
    first, second = stage.writer("one"), stage.writer("two")
    stage.outbox.want(deny(1, [session(1)]))
    await first()
    stage.clock.advance(seconds=31)
    stage.outbox.want(deny(2, [session(2)]))

    await second()
    await first()

    assert stage.aws.refuses(session(1))
    assert stage.aws.refuses(session(2))
    assert stage.outbox.told("denied")[-1][1] == "two"


async def test_no_call_begins_with_little_of_the_lease_left(stage: Stage) -> None:
    """The lease is taken anew before the write; where another has it by then, nothing is written."""
    stage.outbox.want(deny(1, [session(1)]))
    writer = stage.writer()
    wanted = stage.outbox.wanted

    async def slow(account: str, now: object) -> object:
        stage.clock.advance(seconds=31)
        assert await stage.outbox.hold(ACCOUNT, "another", 30)
        return await wanted(account, now)  # type: ignore[arg-type]

    stage.outbox.wanted = slow  # type: ignore[assignment, method-assign]
    with pytest.raises(LeaseLost, match=ACCOUNT):
        await writer()

    assert stage.aws.writes() == []


async def test_a_policy_that_somebody_changed_is_mended_within_five_minutes(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    writer = stage.writer()
    await writer()
    stage.aws.texts = [policy_text([])] * 4

    for _ in range(31):
        stage.clock.advance(seconds=10)
        await writer()

    assert stage.aws.refuses(session(1))


async def test_a_revoke_that_goes_into_another_policy_does_not_wait(stage: Stage) -> None:
    stage.aws.has_canaries = False  # whose watches move the clock
    writer = stage.writer()
    stage.outbox.want(deny(1, [session(1)]))
    await writer()
    written, begun = stage.aws.writes(), stage.clock.monotonic()

    for number in range(2, 40):
        stage.outbox.want(deny(number, [session(number)]))
        await writer()
        if stage.aws.writes()[-1] not in written:
            break

    assert stage.aws.writes()[-1] not in written
    assert stage.clock.monotonic() - begun < number


async def test_two_versions_of_a_policy_have_a_second_between_them(stage: Stage) -> None:
    writer = stage.writer()
    stage.outbox.want(deny(1, [session(1)]))
    await writer()
    written = stage.clock.monotonic()
    stage.outbox.want(deny(2, [session(2)]))

    await writer()

    assert stage.aws.refuses(session(2))
    assert stage.clock.monotonic() - written >= 1


async def test_what_is_over_is_taken_away_at_most_once_a_minute_and_then_told(stage: Stage) -> None:
    short = timedelta(minutes=10, seconds=30)
    stage.outbox.want(deny(1, [session(1, lives=short)]))
    writer = stage.writer()
    await writer()

    stage.clock.advance(seconds=40)
    await writer()
    assert stage.aws.refuses(session(1))
    stage.clock.advance(seconds=40)
    await writer()

    assert not stage.aws.refuses(session(1))
    assert stage.aws.texts == [policy_text([], MARK)] * 4
    assert await stage.outbox.accounts() == []


async def test_a_deny_without_room_is_told_once_and_alarms(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(9)))
    stage.outbox.living = {part(1): NOW - AGO, None: NOW - AGO}
    writer = stage.writer(room=Room(1, 700 + CANARY_ROOM))
    stage.aws.texts = [policy_text([])]

    await writer()
    await writer()

    [(_, _, numbers)] = stage.outbox.told("no_room")
    assert len(numbers) == 3  # type: ignore[arg-type]
    assert "no room" in caplog.text


async def test_while_the_clock_is_not_settled_nothing_is_coarsened(stage: Stage) -> None:
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(9)))
    stage.aws.texts = [policy_text([])]
    tight = Room(1, 700 + CANARY_ROOM)

    await AccountWriter(ACCOUNT, stage.parts(room=tight, clock_settled=False))()
    unsettled = stage.outbox.told("no_room")
    await AccountWriter(ACCOUNT, stage.parts(room=tight))()

    assert len(unsettled) == 1
    assert len(stage.outbox.told("no_room")) == 1
    assert ".*" in stage.aws.texts[0]


async def test_a_late_text_of_the_process_that_wrote_before_is_mended_within_seconds(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    older = list(stage.aws.texts)
    before, writer = stage.writer("one"), stage.writer("two")
    await before()
    await writer()
    stage.clock.advance(seconds=31)
    await writer()

    stage.aws.texts = older
    stage.clock.advance(seconds=11)
    await writer()

    assert stage.aws.refuses(session(1))


async def test_while_the_clock_is_not_settled_nothing_is_taken_away(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    await stage.writer()()
    stage.outbox.calls.clear()

    stage.clock.advance(hours=3)
    await AccountWriter(ACCOUNT, stage.parts(clock_settled=False))()
    stage.clock.advance(hours=-3)

    assert stage.aws.refuses(session(1))
    assert stage.outbox.told("dropped") == []
    assert 1 in stage.outbox.denies


@pytest.mark.parametrize("missing", [{0}, {1, 3}, {0, 1, 2}])
async def test_a_policy_that_is_missing_keeps_no_revoke_from_being_written(
    stage: Stage, missing: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    stage.aws.missing = missing
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(20)))

    await stage.writer()()

    assert all(stage.aws.refuses(session(number)) for number in range(20))
    assert "aws plan" in caplog.text
    assert [call[2] for call in stage.outbox.told("denied")] == [tuple(range(20))]


async def test_a_policy_that_disappears_has_its_lines_written_elsewhere(stage: Stage) -> None:
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(20)))
    writer = stage.writer()
    await writer()
    stage.aws.missing = {2}
    stage.aws.texts[2] = policy_text([])
    stage.outbox.want(*(deny(number, [session(number)]) for number in range(20, 40)))

    with pytest.raises(NotWritten):
        await writer()
    await writer()

    assert all(stage.aws.refuses(session(number)) for number in range(40))


async def test_without_any_policy_it_is_told_what_to_do(stage: Stage) -> None:
    stage.aws.missing = {0, 1, 2, 3}
    stage.outbox.want(deny(1, [session(1)]))

    with pytest.raises(NotWritten, match="aws plan"):
        await stage.writer()()


# --- the loop ---


@asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[WriteDenies]:
    """Runs a loop until the block ends."""
    write = WriteDenies(stage.parts(), asyncio.Event(), lambda: 0.5)
    task = asyncio.create_task(write())
    try:
        yield write
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_revoke_wakes_the_loop(stage: Stage) -> None:
    async with running(stage) as write:
        await asyncio.sleep(0)
        stage.outbox.want(deny(1, [session(1)]))

        write.wake.set()

        await until(lambda: stage.aws.refuses(session(1)))


async def test_what_another_process_recorded_is_seen_without_being_woken(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    async with running(stage):
        await until(lambda: stage.aws.refuses(session(1)))

        stage.outbox.want(deny(2, [session(2)]))

        await until(lambda: stage.aws.refuses(session(2)))


async def test_while_nothing_changes_the_outbox_is_read_and_nothing_else_is_done(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    writer = stage.writer()
    for _ in range(3):  # it is written, told, and tidied
        await writer()
    await settled(writer)
    log, calls = list(stage.aws.log), list(stage.outbox.calls)

    for _ in range(5):
        await writer()

    assert (stage.aws.log, stage.outbox.calls) == (log, calls)


async def test_a_failure_is_tried_again_until_it_is_written(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    failures = iter([NotWritten("AWS is limiting this account's calls to IAM"), RuntimeError("unforeseen")])

    def fail(when: str, _: int) -> None:
        if when == "before" and (failure := next(failures, None)) is not None:
            raise failure

    stage.aws.failing = fail
    async with running(stage) as write:

        def later() -> None:
            stage.clock.advance(seconds=5)
            write.wake.set()

        await until(lambda: stage.outbox.told("denied"), later)

    assert "limiting" in caplog.text


async def test_an_outbox_that_cannot_be_read_is_read_again(stage: Stage) -> None:
    stage.outbox.want(deny(1, [session(1)]))
    stage.outbox.failing = lambda what: fail() if what == "accounts" else None
    fail = once(OSError("away"))

    async with running(stage) as write:
        await asyncio.sleep(0)
        write.wake.set()

        await until(lambda: stage.aws.refuses(session(1)))
