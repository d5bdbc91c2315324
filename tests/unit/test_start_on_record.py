"""A gateway's start is on record before it serves: a disk that is busy for seconds delays it, and does not end it."""

import logging

import pytest

from remit_server.bootstrap.starting import TRIES, on_record
from remit_server.domain.errors import Outage, Reason


class BusyLedger:
    """Fails the first so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0

    async def record(self) -> None:
        self.asked += 1
        if self.asked <= self.failures:
            raise Outage(Reason.LEDGER_UNAVAILABLE, "the disk is busy")


async def test_a_ledger_that_gets_on_later_delays_the_start_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    ledger = BusyLedger(TRIES - 1)

    with caplog.at_level(logging.WARNING):
        await on_record(ledger.record, pause=0)

    assert ledger.asked == TRIES
    assert caplog.text.count("nothing is served before: the disk is busy") == TRIES - 1


async def test_a_ledger_that_does_not_get_on_ends_the_start() -> None:
    ledger = BusyLedger(TRIES)

    with pytest.raises(Outage, match="the disk is busy"):
        await on_record(ledger.record, pause=0)

    assert ledger.asked == TRIES


async def test_a_ledger_that_gets_on_is_asked_once() -> None:
    ledger = BusyLedger(0)

    await on_record(ledger.record, pause=0)

    assert ledger.asked == 1
