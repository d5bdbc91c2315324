"""Invariant I4: an exception out of any await gives nobody credentials that are not on record, and holds nothing back.

Real ledger, planner and STS adapter, before a strict STS; every coroutine of the application, every port and every
suspension of either is a point. Each gets an ordinary exception, a cancellation, a time-out or its port's own error, in
its place or after it: by turns, or all of them in the extended tests.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.failpoints.awaits import EXCUSED, awaits
from tests.failpoints.mutants import MUTANTS
from tests.failpoints.scripts import CALL_STS, SCRIPTS
from tests.failpoints.sweep import Swept, ground
from tests.figures import Counted

from remit_server.domain.entitlement import AssumedBy

pytestmark = pytest.mark.timeout(3600)  # of the extended sweep


@dataclass
class All:
    """What all sweeps found."""

    of: dict[tuple[str, AssumedBy], Swept] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        return [told for one in self.of.values() for told in one.wrong]

    @property
    def passed(self) -> set[tuple[str, int]]:
        return set().union(*(one.passed for one in self.of.values()))


async def sweep_all(folder: Path, names: Iterable[str]) -> All:
    found, known = All(), set[str]()
    for by in AssumedBy:
        for name in names if by is AssumedBy.ROLE_CHAINING else CALL_STS:
            async with ground(folder / f"{name}-{by}.db", by=by) as made:
                found.of[name, by] = await made.sweep(name, known)
            known |= set(found.of[name, by].places)
    return found


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> All:
    """Everything swept, once."""
    return asyncio.run(sweep_all(tmp_path_factory.mktemp("sweep"), SCRIPTS))


def test_an_exception_out_of_any_await_gives_nothing_that_is_not_on_record_and_holds_nothing_back(
    swept: All, counted: Counted
) -> None:
    places = [place for one in swept.of.values() for place in one.places]
    counted("swept", {"errors": sum(one.faults for one in swept.of.values()), "points": len(places)})

    assert swept.wrong == []


def test_without_a_fault_every_use_case_that_gives_credentials_gives_some(swept: All) -> None:
    refusals = {"refused", "sts_refuses", "sts_breaks_off"}

    for name in SCRIPTS:
        gives = name not in refusals and not name.endswith("_refuses") and not name.endswith("_refused")
        if gives and name not in {"ask_people", "ask_people_in_task", "decide", "delegate", "end_task"}:
            assert swept.of[name, AssumedBy.ROLE_CHAINING].given >= 1, name
    for name in CALL_STS:
        assert swept.of[name, AssumedBy.WEB_IDENTITY].given >= 1, name


def test_every_await_of_the_use_cases_had_an_error_through_it(swept: All) -> None:
    missed = [one for one in awaits() if not any((one.file, line) in swept.passed for line in one.lines)]

    assert [one for one in missed if (one.file, one.what) not in EXCUSED] == []
    assert {(one.file, one.what) for one in missed} == set(EXCUSED), "what is excused and was passed, or is not there"


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_gateway_that_breaks_it_on_purpose_is_caught(name: str, tmp_path: Path) -> None:
    mutant, at, told = MUTANTS[name]

    async with ground(tmp_path / "sound.db") as made:
        sound = await made.sweep("issue", at=at)
    async with ground(tmp_path / "mutant.db", mutant) as made:
        found = await made.sweep("issue", at=at)

    assert (sound.wrong, any(told in one for one in found.wrong)) == ([], True), found.wrong
