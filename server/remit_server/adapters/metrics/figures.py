"""One worker's figures as a whole: what counts in them, and what it tells of itself every few seconds."""

import asyncio
import logging
import os
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from remit_server.adapters.metrics import catalogue
from remit_server.adapters.metrics.catalogue import Catalogue
from remit_server.adapters.metrics.cells import Cells, Part
from remit_server.adapters.metrics.counting import CountedCalls, CountedRecords, CountedSteps
from remit_server.adapters.metrics.families import Family

LOOK_EVERY: Final = 5.0  # seconds
_STATM: Final = Path("/proc/self/statm")
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Figures:
    """What one worker counts. `waiting` says how many operations wait for the ledger, `revision` what decides."""

    cells: Cells
    worker: int
    catalogue: Catalogue
    waiting: Callable[[], int] = lambda: 0
    revision: Callable[[], str] = lambda: ""
    steps: CountedSteps = field(init=False)
    calls: CountedCalls = field(init=False)
    records: CountedRecords = field(init=False)

    def __post_init__(self) -> None:
        numbers, figures = self.part.numbers, self.catalogue
        for place in figures.layout.own():
            numbers[place] = 0.0  # another worker's, which is gone
        self.steps = CountedSteps(numbers, figures)
        self.calls = CountedCalls(numbers, figures)
        self.records = CountedRecords(numbers, figures)
        self.put(catalogue.STARTED, time.time())

    @property
    def part(self) -> Part:
        """This worker's part of the cells."""
        return self.cells[self.worker]

    def put(self, family: Family, value: float, *row: str) -> None:
        """Sets a figure."""
        self.part.numbers[self.catalogue.layout.place(family, *row)] = value

    def add(self, family: Family, count: float, *row: str) -> None:
        """Adds to a figure."""
        self.part.numbers[self.catalogue.layout.place(family, *row)] += count

    def observe(self, family: Family, value: float) -> None:
        """Takes a value into a histogram without labels."""
        numbers, place = self.part.numbers, self.catalogue.layout.place(family)
        numbers[place + bisect_left(family.bounds, value)] += 1
        numbers[place + family.width - 1] += value

    def look(self) -> None:
        """Tells what this worker is at now."""
        self.put(catalogue.CPU, time.process_time())
        self.put(catalogue.MEMORY, resident_bytes())
        self.put(catalogue.WAITING, self.waiting())
        self.put(catalogue.SEEN, time.time())
        revision = self.revision()
        if self.part.text != revision:
            self.part.put_text(revision)

    async def keep_looking(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Looks until it is cancelled, `sleep`ing in between."""
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is: it must not end the looking
                _log.error("a worker could not say what it is at: %s", type(error).__name__)
            before = time.monotonic()
            await sleep(LOOK_EVERY)
            self.put(catalogue.LATE, max(0.0, time.monotonic() - before - LOOK_EVERY))


def resident_bytes() -> float:
    """Returns how much of this process's memory is in RAM; 0 where the system does not say."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return 0.0
