"""Runs the tests of a policy bundle on the embedded engine: every rule named `test_...`, as `opa test` does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from remit_server.adapters.policy.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego import wire
from remit_server.adapters.rego.checks import text_findings
from remit_server.adapters.rego.process import LOAD_SECONDS, EvaluationFailed, Program, RegoProcess, WorkerLost

MEMORY_BYTES: Final = 512 << 20
TEST_SECONDS: Final = 10.0


class Verdict(StrEnum):
    """How one test ended; what is undefined or not true has failed."""

    PASS = "PASS"  # noqa: S105 - not a password
    FAIL = "FAIL"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test: its full name, where it stands, how it ended, and for an error why."""

    name: str
    path: str
    line: int
    verdict: Verdict
    detail: str = ""


async def run_tests(bundle: Bundle) -> tuple[Outcome, ...]:
    """Returns the outcome of every test, by file and line; raises BundleRefused when the bundle cannot be loaded.

    A test that kills or stalls its worker is an error; the others go on in a new one.
    """
    if found := text_findings(bundle.modules):
        raise BundleRefused(found)
    program = Program(bundle.modules, bundle.data_json, MEMORY_BYTES, alarm_seconds=2 * TEST_SECONDS)
    async with _worker(program) as worker:
        tests = json.loads(await worker.ask(wire.LIST_TESTS, "", seconds=LOAD_SECONDS) or "[]")
    outcomes: list[Outcome] = []
    while len(outcomes) < len(tests):
        async with _worker(program) as worker:
            for name, path, line in tests[len(outcomes) :]:
                outcome, lost = await _outcome(worker, name, path, line)
                outcomes.append(outcome)
                if lost:
                    break
    return tuple(outcomes)


async def _outcome(worker: RegoProcess, name: str, path: str, line: int) -> tuple[Outcome, bool]:
    """Returns how one test ended, and whether the worker is lost with it."""
    try:
        answer = await worker.ask(wire.QUERY, name, seconds=TEST_SECONDS)
    except EvaluationFailed as failed:
        return Outcome(name, path, line, Verdict.ERROR, str(failed)), False
    except WorkerLost as lost:
        return Outcome(name, path, line, Verdict.ERROR, str(lost)), True
    return Outcome(name, path, line, Verdict.PASS if answer == "true" else Verdict.FAIL), False


@asynccontextmanager
async def _worker(program: Program) -> AsyncIterator[RegoProcess]:
    """Gives a worker that is ended afterwards."""
    worker = await RegoProcess.start(program)
    try:
        yield worker
    finally:
        await worker.close()
