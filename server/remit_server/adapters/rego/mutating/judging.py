"""Judges a bundle's tests by the mistakes they notice: each mutant is run against them until one does not pass.

The mutants run in killable workers, one for each job; one that hangs or dies is noticed, too. What comes out depends on
the bundle alone: the order of the tests, and so of the report, is that of the files.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.rego import wire
from remit_server.adapters.rego.mutating.catalogue import (
    CatalogueMutant,
    Places,
    catalogue_mutants,
    mutated,
    place_of,
)
from remit_server.adapters.rego.mutating.rules import MAY_WIDEN, NARROWS, REACHES_NOTHING, WIDENS, RuleMutant
from remit_server.adapters.rego.pipes import EvaluationFailed, WorkerLost
from remit_server.adapters.rego.process import Program
from remit_server.adapters.rego.suite.outcome import Outcome, Ran, Verdict
from remit_server.adapters.rego.suite.running import TEST_SECONDS, Options, Suite, ready_suite, run_suite, suite_program

MAX_MUTANTS: Final = 5_000
MAX_DATA: Final = 8 << 20
_LEAST_SECONDS: Final = 2.0
_TIMES_AS_LONG: Final = 10


class Fate(StrEnum):
    """What became of a mutant; one that is no policy at all is not counted."""

    KILLED = "killed"
    SURVIVED = "survived"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake: where (`line` 0: somewhere in the file), what was done, what it could do, and what became of it.

    `effect` is "widens", "may widen", "narrows" or "reaches no decision"; `widening` says what
    it would give away where the catalogue was changed; `killer` is the test that noticed.
    """

    path: str
    line: int
    what: str
    effect: str
    widening: str
    fate: Fate
    killer: str = ""


@dataclass(frozen=True, slots=True)
class Mutation:
    """Every mutant that was judged, in the order of files and lines, and how many were left out for their number.

    `catalogue_left_out` says that the catalogue is too large to be changed: its mutants are not even counted.
    """

    mutants: tuple[Mutant, ...]
    left_out: int
    catalogue_left_out: bool = False

    def count(self, fate: Fate) -> int:
        """Returns of how many mutants this became."""
        return sum(mutant.fate is fate for mutant in self.mutants)

    @property
    def score(self) -> float:
        """The killed among those that could be, in percent; of nothing everything is killed."""
        judged = self.count(Fate.KILLED) + self.count(Fate.SURVIVED)
        return 100.0 * self.count(Fate.KILLED) / judged if judged else 100.0

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        """The mutants that no test noticed, those that widen first."""
        alive = [mutant for mutant in self.mutants if mutant.fate is Fate.SURVIVED]
        order = [WIDENS, MAY_WIDEN, NARROWS, REACHES_NOTHING]
        return tuple(sorted(alive, key=lambda mutant: order.index(mutant.effect)))


class TestsFail(Exception):  # noqa: N818 - named for what it says
    """The tests do not all pass as they are, so they can judge nothing; `ran` has their outcomes, `texts` the files."""

    def __init__(self, ran: Ran, texts: Mapping[str, str]) -> None:
        self.ran = ran
        self.texts = texts
        super().__init__("the tests do not all pass")


@dataclass(frozen=True, slots=True)
class _Case:
    """A mutant that waits: what it is, the change that makes it, its tests in the order in which they are tried."""

    mutant: Mutant
    change: tuple[str, str]
    tests: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much the judging may take: workers, seconds for each test, mutants."""

    jobs: int = 1
    seconds: float = TEST_SECONDS
    most: int = MAX_MUTANTS


async def judge_tests(bundle: Bundle, places: Places, effort: Effort) -> Mutation:
    """Returns what a bundle's tests notice; `places` tells where its data stands.

    Raises TestsFail, and BundleRefused as `run_suite` does.
    """
    ran = await run_suite(bundle, Options(seconds=effort.seconds, coverage=True))
    if ran.count(Verdict.PASS) + ran.count(Verdict.SKIPPED) < len(ran.outcomes):
        raise TestsFail(ran, dict(bundle.modules))
    program = suite_program(bundle)
    async with ready_suite(program, effort.seconds, mutants=effort.most) as suite:
        queries = {f"{test['package']}.{test['name']}": (test["query"], test["kind"]) for test in suite.tests}
        unseen = suite.mutants_in_all - len(suite.mutants)
        found = [*_rule_cases(suite, bundle, ran), *_catalogue_cases(bundle, places, ran)]
    cases = found[: effort.most]
    took = sum(outcome.nanoseconds for outcome in ran.outcomes) / 1e9
    bench = _Bench(program, queries, _LEAST_SECONDS + _TIMES_AS_LONG * took)
    judged = await bench.judged(cases, min(effort.jobs, len(cases)))
    return Mutation(judged, unseen + len(found) - len(cases), len(bundle.data_json) > MAX_DATA)


def _rule_cases(suite: Suite, bundle: Bundle, ran: Ran) -> Iterator[_Case]:
    """Yields the mutants of the rules; the tests that reach a mutant's line come first, the most specific of them."""
    texts = {path: text.encode("utf-8") for path, text in bundle.rules}
    for told in suite.mutants:
        one = RuleMutant(*told)
        text = texts[one.path]
        changed = (text[: one.start] + one.text.encode("utf-8") + text[one.end :]).decode("utf-8")
        mutant = Mutant(one.path, one.line, one.what, one.effect, "", Fate.SURVIVED)
        yield _Case(
            mutant, (one.path, changed), _in_order(ran, lambda test, one=one: one.line in _lines(test, one.path))
        )


def _catalogue_cases(bundle: Bundle, places: Places, ran: Ran) -> Iterator[_Case]:
    """Yields the mutants of the catalogue; a huge one is not changed, as each change would take seconds to load."""
    if len(bundle.data_json) > MAX_DATA:
        return
    tree = json.loads(bundle.data_json)
    for one in catalogue_mutants(tree):
        mutant = Mutant(*place_of(one, places), one.what, WIDENS, one.widening, Fate.SURVIVED)
        tests = _in_order(ran, lambda test, one=one: _answers(test, one))
        yield _Case(mutant, ("", json.dumps(mutated(tree, one))), tests)


def _lines(test: Outcome, path: str) -> frozenset[int]:
    """Returns the lines of a file that a test reached."""
    return (test.lines or {}).get(path, frozenset())


def _answers(test: Outcome, mutant: CatalogueMutant) -> bool:
    """Says whether a test was answered with the entitlement that a mutant is about."""
    return any(mutant.entitlement in ids for ids, _ in test.answers)


def _in_order(ran: Ran, likely: Any) -> tuple[Outcome, ...]:
    """Returns the tests that were run: likely killers first, those that reach little before those that reach much."""
    tests = [test for test in ran.outcomes if test.verdict is Verdict.PASS]
    return tuple(sorted(tests, key=lambda test: (not likely(test), sum(map(len, (test.lines or {}).values())))))


class _Bench:
    """Judges mutants, each in whichever worker is free."""

    def __init__(self, program: Program, queries: Mapping[str, tuple[str, str]], seconds: float) -> None:
        self._program = program
        self._queries = queries
        self._seconds = seconds
        self._waiting: list[tuple[int, _Case]] = []
        self._done: dict[int, Mutant] = {}

    async def judged(self, cases: Sequence[_Case], jobs: int) -> tuple[Mutant, ...]:
        """Returns every mutant with its fate, in the order given."""
        self._waiting = list(enumerate(cases))[::-1]
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(jobs):
                    group.create_task(self._work())
        except* BundleRefused as refused:
            raise BundleRefused(_findings(refused)) from None
        return tuple(self._done[number] for number in range(len(cases)))

    async def _work(self) -> None:
        """Judges mutants until none waits, in a worker that is replaced when it is lost."""
        while self._waiting:
            async with AsyncExitStack() as stack:
                suite = await stack.enter_async_context(ready_suite(self._program, self._seconds))
                lost = False
                while self._waiting and not lost:
                    number, case = self._waiting.pop()
                    self._done[number], lost = await self._fate(suite, case)

    async def _fate(self, suite: Suite, case: _Case) -> tuple[Mutant, bool]:
        """Returns what became of one mutant, and whether the worker is lost with it."""
        tests = [self._queries[test.full_name] for test in case.tests]
        asked = json.dumps({"change": case.change, "tests": tests})
        try:
            told = json.loads(await suite.worker.ask(wire.MUTANT, asked, seconds=self._seconds) or "{}")
        except (WorkerLost, EvaluationFailed) as lost:
            return _with_fate(case.mutant, Fate.KILLED, f"({lost})"), isinstance(lost, WorkerLost)
        if "invalid" in told:
            return _with_fate(case.mutant, Fate.INVALID, ""), False
        if "killer" in told:
            return _with_fate(case.mutant, Fate.KILLED, case.tests[told["killer"]].full_name), False
        return case.mutant, False


def _findings(refused: BaseExceptionGroup[BundleRefused]) -> tuple[Finding, ...]:
    """Returns what the first worker that could not be made ready found."""
    first = refused.exceptions[0]
    return first.findings if isinstance(first, BundleRefused) else ()


def _with_fate(mutant: Mutant, fate: Fate, killer: str) -> Mutant:
    """Returns a mutant with what became of it."""
    return Mutant(mutant.path, mutant.line, mutant.what, mutant.effect, mutant.widening, fate, killer)
