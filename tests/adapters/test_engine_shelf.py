"""The engines of a process: one decides, a few stay warm, and going back to a warm one loads nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.policy_bundles import DENY_ALL, OBEDIENT, bundle_of
from tests.waiting import until

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.rego.embedded import EngineLimits
from remit_server.adapters.rego.shelf import EngineShelf
from remit_server.domain.errors import Denied, Outage, Reason

FOR_EVERYBODY = OBEDIENT.replace('input.task.labels["do"] == "allow"', "true").replace(
    'not input.task.labels["do"]', "false"
)


class Read:
    """Reads bundles that a test made, and notes each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bundles: dict[str, Bundle] = {}
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def bundle(self, text: str = DENY_ALL) -> str:
        """Makes a bundle known, each another one, and returns its revision."""
        number = len(self._bundles)
        bundle = bundle_of(self._folder / str(number), f"{text}\n# {number}\n")
        self._bundles[bundle.revision] = bundle
        return bundle.revision

    async def __call__(self, revision: str) -> Bundle:
        self.asked.append(revision)
        await self.gate.wait()
        return self._bundles[revision]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return Read(tmp_path)


@asynccontextmanager
async def shelf(read: Read, *, keep: int = 1) -> AsyncIterator[EngineShelf]:
    made = EngineShelf(read, EngineLimits(spares=0), keep=keep)
    try:
        yield made
    finally:
        await made.close()


async def test_going_back_to_the_revision_before_loads_nothing(read: Read) -> None:
    first, second = read.bundle(), read.bundle()
    async with shelf(read) as engines:
        before = await engines.turn(first)
        await engines.turn(second)

        again = await engines.turn(first)

        assert (again is before, read.asked) == (True, [first, second])


async def test_no_more_engines_stay_than_are_to_be_kept(read: Read) -> None:
    revisions = [read.bundle() for _ in range(4)]
    async with shelf(read, keep=1) as engines:
        for revision in revisions:
            await engines.turn(revision)

        assert [engines.warm(revision) is not None for revision in revisions] == [False, False, True, True]


async def test_with_nothing_to_be_kept_only_the_active_one_stays(read: Read) -> None:
    first, second = read.bundle(), read.bundle()
    async with shelf(read, keep=0) as engines:
        await engines.turn(first)
        await engines.turn(second)

        assert engines.warm(first) is None


async def test_what_was_prepared_decides_at_once(read: Read) -> None:
    first, second = read.bundle(), read.bundle()
    async with shelf(read) as engines:
        await engines.turn(first)
        await engines.prepare(second)
        prepared = engines.warm(second)

        assert await engines.turn(second) is prepared
        assert read.asked == [first, second]


async def test_only_the_last_that_was_prepared_stays(read: Read) -> None:
    first, second, third = (read.bundle() for _ in range(3))
    async with shelf(read) as engines:
        await engines.turn(first)
        await engines.prepare(second)
        await engines.prepare(third)

        assert [engines.warm(one) is not None for one in (first, second, third)] == [True, False, True]


async def test_everybody_who_wants_a_revision_waits_for_one_engine(read: Read) -> None:
    revision = read.bundle()
    async with shelf(read) as engines:
        await asyncio.gather(engines.prepare(revision), engines.turn(revision), engines.prepare(revision))

        assert read.asked == [revision]


async def test_a_few_revisions_are_loaded_at_a_time(read: Read) -> None:
    revisions = [read.bundle() for _ in range(3)]
    async with shelf(read) as engines:
        read.gate.clear()
        loading = [asyncio.create_task(engines.prepare(revision)) for revision in revisions[:2]]
        await until(lambda: len(read.asked) >= 2)

        with pytest.raises(Outage) as raised:
            await engines.prepare(revisions[2])
        read.gate.set()
        await asyncio.gather(*loading)

        assert raised.value.reason is Reason.OVERLOADED


async def test_whoever_goes_away_leaves_an_engine_that_gets_ready(read: Read) -> None:
    revision = read.bundle()
    async with shelf(read) as engines:
        read.gate.clear()
        waiting = asyncio.create_task(engines.turn(revision))
        await until(lambda: bool(read.asked))
        waiting.cancel()
        await asyncio.wait((waiting,))
        read.gate.set()

        await engines.turn(revision)

        assert read.asked == [revision]


async def test_a_revision_that_allows_strangers_is_refused_and_the_active_one_stays(read: Read) -> None:
    first, open_to_all = read.bundle(), read.bundle(FOR_EVERYBODY)
    async with shelf(read) as engines:
        engine = await engines.turn(first)

        with pytest.raises(Denied) as raised:
            await engines.prepare(open_to_all)

        assert raised.value.reason is Reason.REVISION_REFUSED
        assert (engines.warm(open_to_all), engines.warm(first)) == (None, engine)
