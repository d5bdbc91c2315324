"""Runs the tests of a policy bundle on the embedded engine, as `opa test` does, in a worker that may die of them."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.rego import wire
from remit_server.adapters.rego.checks import text_findings
from remit_server.adapters.rego.pipes import EvaluationFailed, WorkerLost
from remit_server.adapters.rego.process import LOAD_SECONDS, Program, RegoProcess
from remit_server.adapters.rego.suite.outcome import Case, Outcome, Ran, Verdict

MEMORY_BYTES: Final = 512 << 20
TEST_SECONDS: Final = 5.0
_ALARM_MARGIN: Final = 5.0  # so much after the parent would have ended it, the kernel does
_WORKER: Final = "remit_server.adapters.rego.suite.worker"
_FUNCTION: Final = "a function is no test: it is never called. Take its arguments away, or its prefix test_"
_GIVEN_UP: Final = "not run: too many tests before it took their worker with them"


@dataclass(frozen=True, slots=True)
class Options:
    """How a suite is run: which tests, how long each may take, and whether what they reach is noted.

    After `most_lost` tests that took their worker with them the rest is not run, for each costs its whole time.
    """

    chosen: Callable[[str], bool] = lambda _: True
    seconds: float = TEST_SECONDS
    coverage: bool = False
    most_lost: int = 20


@dataclass(frozen=True, slots=True)
class Suite:
    """A worker that is ready for its tests, with what it tells of them.

    `tests` are in order of file and line; `reasons` are those that the rules write out, with their place, and `lines`
    those of each rule file that can be reached; both only where coverage was asked for. `mutants` are as many as were
    asked for, of so many in all.
    """

    worker: RegoProcess
    tests: Sequence[Mapping[str, Any]]
    reasons: Mapping[str, tuple[str, int]]
    lines: Mapping[str, frozenset[int]]
    mutants: Sequence[Sequence[Any]]
    mutants_in_all: int


async def run_suite(bundle: Bundle, options: Options | None = None) -> Ran:
    """Returns how every chosen test ended; raises BundleRefused when the bundle cannot be loaded.

    A test that kills or stalls its worker is an error; the others go on in a new one.
    """
    options = options or Options()
    program = suite_program(bundle)
    outcomes: list[Outcome] = []
    lost = 0
    while True:
        async with ready_suite(program, options.seconds, probed=options.coverage) as suite:
            tests = [test for test in suite.tests if options.chosen(f"{test['package']}.{test['name']}")]
            for test in tests[len(outcomes) :]:
                outcome, is_lost = await _outcome(suite.worker, test, options)
                outcomes.append(outcome)
                lost += is_lost
                if is_lost:
                    break
        if lost >= options.most_lost:
            outcomes += [_ended(test, Verdict.ERROR, detail=_GIVEN_UP) for test in tests[len(outcomes) :]]
        if len(outcomes) == len(tests):
            return Ran(tuple(outcomes), suite.reasons, suite.lines)


def suite_program(bundle: Bundle) -> Program:
    """Returns what a worker loads to run a bundle's tests; raises BundleRefused for what must not reach the parser."""
    if found := text_findings(bundle.modules):
        raise BundleRefused(found)
    return Program(bundle.modules, bundle.data_json, MEMORY_BYTES, alarm_seconds=LOAD_SECONDS, worker=_WORKER)


@asynccontextmanager
async def ready_suite(
    program: Program, seconds: float, *, probed: bool = False, mutants: int = 0
) -> AsyncIterator[Suite]:
    """Gives a worker that is ready for its tests, each of at most so many seconds, and ends it afterwards.

    Raises BundleRefused when the tests cannot be run.
    """
    try:
        worker = await RegoProcess.start(program)
    except WorkerLost as lost:
        raise _unready(lost) from None
    try:
        told = await _made_ready(worker, {"probed": probed, "mutants": mutants}, seconds)
        reasons = {code: (path, line) for code, (path, line) in told["reasons"].items()}
        lines = {path: frozenset(lines) for path, lines in told["lines"].items()}
        yield Suite(worker, told["tests"], reasons, lines, *told["mutants"])
    finally:
        await worker.close()


async def _made_ready(worker: RegoProcess, asked: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
    """Returns what the worker tells of the suite; raises BundleRefused when it cannot be run."""
    try:
        told = json.loads(await worker.ask(wire.SUITE, json.dumps(asked), seconds=LOAD_SECONDS) or "{}")
        await worker.ask(wire.ALARM, str(seconds + _ALARM_MARGIN), seconds=LOAD_SECONDS)
    except EvaluationFailed as failed:
        raise BundleRefused([_finding(str(failed))]) from None
    except WorkerLost as lost:
        raise _unready(lost) from None
    if told["findings"]:
        raise BundleRefused([Finding(*finding) for finding in told["findings"]])
    return dict(told)


def question(test: Mapping[str, Any], *, lines: bool) -> dict[str, Any]:
    """Returns what a worker is asked to run one test."""
    place = (test["path"], test["line"], test["end_line"])
    return {"query": test["query"], "kind": test["kind"], "lines": lines, "place": place}


async def _outcome(worker: RegoProcess, test: Mapping[str, Any], options: Options) -> tuple[Outcome, bool]:
    """Returns how one test ended, and whether the worker is lost with it."""
    if test["kind"] == "todo":
        return _ended(test, Verdict.SKIPPED), False
    if test["kind"] == "function":
        return _ended(test, Verdict.ERROR, detail=_FUNCTION), False
    asked = json.dumps(question(test, lines=options.coverage))
    try:
        told = json.loads(await worker.ask(wire.TRY, asked, seconds=options.seconds) or "{}")
    except EvaluationFailed as failed:
        return _ended(test, Verdict.ERROR, detail=str(failed)), False
    except WorkerLost as lost:
        return _ended(test, Verdict.ERROR, detail=str(lost)), True
    return _judged(test, told), False


def _judged(test: Mapping[str, Any], told: Mapping[str, Any]) -> Outcome:
    """Returns the outcome of a test that came to an end."""
    verdict = Verdict.PASS if told["passed"] else Verdict.ERROR if "error" in told else Verdict.FAIL
    return _ended(
        test,
        verdict,
        detail="" if told["passed"] else told.get("error") or f"its value is {told['value']}",
        reached=told.get("reached", 0),
        nanoseconds=told["nanoseconds"],
        cases=tuple(Case(tuple(keys), passed) for keys, passed in told.get("cases", [])),
        prints=tuple(told["prints"]),
        lines={path: frozenset(lines) for path, lines in told["lines"].items()} if "lines" in told else None,
        answers=tuple((tuple(ids), tuple(codes)) for ids, codes in told["answers"]),
    )


def _ended(test: Mapping[str, Any], verdict: Verdict, **more: Any) -> Outcome:
    """Returns one test's outcome."""
    return Outcome(test["package"], test["name"], test["path"], test["line"], verdict, **more)


def _unready(lost: WorkerLost) -> BundleRefused:
    """Returns the no that follows when a worker does not live to run tests."""
    problem = f"the tests could not be made ready: {lost}"
    return BundleRefused([Finding("remit/", 0, problem, "Make rules and data smaller")])


def _finding(message: str) -> Finding:
    """Returns what the engine says of the whole program as a finding."""
    path, line, why = ([*message.split(":", 2), "", ""])[:3]
    if not line.isdigit():
        path, line, why = "remit/", "0", message
    return Finding(path, int(line), f"the tests cannot be run: {why.strip()}", "Correct the line")
