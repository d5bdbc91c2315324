"""Two gateways with different ledgers on the same policies: neither undoes the other's denies, and both say why."""

import logging
from dataclasses import dataclass

import pytest
from tests.fake_outbox import MARK, FakeAws, FakeOutbox
from tests.fakes import FakeClock
from tests.revocation_world import ACCOUNT, NOW, Session, deny
from tests.unit.test_write_denies import AGO, Stage

from remit_server.application.revocation.account_writer import AccountWriter
from remit_server.application.revocation.ports import NotWritten
from remit_server.application.revocation.texts import mark_of, mark_of_ledger, policy_text

OTHER = mark_of_ledger("another ledger")
DEAD, DEAD_OF_OTHER = Session(1, 1, 1, NOW - AGO), Session(2, 2, 2, NOW - AGO)


@dataclass
class Two:
    """Two ledgers, each with a deny, and the one account that both write to."""

    clock: FakeClock
    aws: FakeAws
    first: FakeOutbox
    second: FakeOutbox

    def writer(self, outbox: FakeOutbox) -> AccountWriter:
        return Stage(self.clock, outbox, self.aws).writer()


@pytest.fixture
def two() -> Two:
    clock = FakeClock(NOW)
    aws = FakeAws(clock, texts=[policy_text([])] * 4, has_canaries=False)
    made = Two(clock, aws, FakeOutbox(clock), FakeOutbox(clock, mark=OTHER))
    made.first.want(deny(1, [DEAD]))
    made.second.want(deny(1, [DEAD_OF_OTHER]))
    return made


async def test_the_first_writer_takes_every_policy_that_is_nobodys(two: Two) -> None:
    await two.writer(two.first)()

    assert [mark_of(text) for text in two.aws.texts] == [MARK] * 4
    assert two.aws.refuses(DEAD)
    assert two.first.told("foreign") == two.first.told("changed") == []


async def test_the_second_writes_nothing_and_the_firsts_denies_stand(two: Two) -> None:
    first, second = two.writer(two.first), two.writer(two.second)
    await first()
    texts = list(two.aws.texts)

    for _ in range(40):
        two.clock.advance(seconds=10)
        with pytest.raises(NotWritten, match="policy_prefix"):
            await second()
        await first()

    assert two.aws.texts == texts
    assert two.second.told("denied") == []
    assert two.first.told("foreign") == two.first.told("changed") == []


async def test_the_second_alarms_once_for_each_policy_and_says_what_to_do(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    second = two.writer(two.second)
    await two.writer(two.first)()

    for _ in range(3):
        with pytest.raises(NotWritten):
            await second()

    assert two.second.told("foreign") == [(ACCOUNT, "one", f"{ACCOUNT}/{place}", MARK) for place in (1, 2, 3, 4)]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 4
    assert all(word in errors[0] for word in (f"{ACCOUNT}/1", MARK, OTHER, "policy_prefix", "aws plan"))


async def test_a_policy_that_is_put_back_to_its_first_text_is_taken_by_the_other(two: Two) -> None:
    second = two.writer(two.second)
    await two.writer(two.first)()
    with pytest.raises(NotWritten):
        await second()

    two.aws.texts = [policy_text([])] * 4
    await second()

    assert [mark_of(text) for text in two.aws.texts] == [OTHER] * 4
    assert two.aws.refuses(DEAD_OF_OTHER)


async def test_a_policy_that_another_took_after_it_was_read_is_not_written(two: Two) -> None:
    first, second = two.writer(two.first), two.writer(two.second)
    waiting, two.second.denies = two.second.denies, {}
    await second()  # reads, and has nothing to write
    two.clock.advance(seconds=1)
    await first()

    two.second.denies = waiting
    with pytest.raises(NotWritten):
        await second()

    assert two.aws.refuses(DEAD)
    assert not two.aws.refuses(DEAD_OF_OTHER)


@pytest.mark.parametrize("taken", [{0}, {1, 2}, {0, 1, 3}])
async def test_policies_of_another_keep_no_revoke_from_the_policies_that_are_ours(two: Two, taken: set[int]) -> None:
    others = [policy_text([], OTHER) if place in taken else policy_text([]) for place in range(4)]
    two.aws.texts = list(others)

    await two.writer(two.first)()

    assert two.aws.refuses(DEAD)
    assert all(two.aws.texts[place] == others[place] for place in taken)
    assert len(two.first.told("foreign")) == len(taken)


@pytest.mark.parametrize("text", [policy_text([]), '{"Version":"2012-10-17","Statement":[]}'], ids=["first", "by hand"])
async def test_a_text_that_somebody_changed_without_a_mark_is_mended_and_on_record(
    two: Two, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    writer = two.writer(two.first)
    await writer()
    place = next(place for place, now in enumerate(two.aws.texts) if now != policy_text([], MARK))

    two.aws.texts[place] = text
    for _ in range(3):
        two.clock.advance(seconds=11)
        await writer()

    assert two.aws.refuses(DEAD)
    assert two.first.told("changed") == [(ACCOUNT, "one", f"{ACCOUNT}/{place + 1}")]
    assert "changed by somebody else" in caplog.text


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"Statement":3}', '{"Statement":[3]}', policy_text([], "Remitshort"), policy_text([])]
)
def test_a_text_without_a_ledgers_mark_has_none(text: str) -> None:
    mark = mark_of(text)

    assert mark == ""


def test_a_text_keeps_its_owner_whatever_else_is_changed_in_it() -> None:
    text = policy_text([], OTHER).replace("Deny", "Allow").replace(":", ": ")

    assert mark_of(text) == OTHER
