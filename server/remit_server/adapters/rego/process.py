"""One Rego worker as its parent sees it: started with nothing inherited, asked within a time, ended by its id."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from remit_server.adapters.child_processes import started
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.rego import wire
from remit_server.adapters.rego.pipes import EvaluationFailed, Keeper, Question, WorkerLost, WorkerPipes

LOAD_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker is loaded with; made once per revision and shared by its workers."""

    modules: tuple[tuple[str, str], ...]
    data_json: str
    memory_bytes: int
    alarm_seconds: float
    worker: str = "remit_server.adapters.rego.worker"


class RegoProcess:
    """One worker process, which answers in the order of asking."""

    def __init__(self, pipes: WorkerPipes) -> None:
        self._pipes = pipes

    @classmethod
    async def start(cls, program: Program) -> "RegoProcess":
        """Returns a worker that has loaded the program.

        Raises BundleRefused with the file that the engine does not take, WorkerLost when the process fails.
        """
        worker = await cls.spawned(sys.executable, "-I", "-m", program.worker, str(program.memory_bytes))
        try:
            await _load(worker, program)
        except BaseException:
            await worker.close()
            raise
        return worker

    @classmethod
    async def spawned(cls, *command: str) -> "RegoProcess":
        """Returns the process of a command, which inherits nothing."""
        start = asyncio.get_running_loop().subprocess_exec(
            WorkerPipes,
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a panic prints what it was evaluating
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
        _, pipes = await started(start, lambda made: made[1].close())
        return cls(pipes)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._pipes.pid

    @property
    def questions(self) -> int:
        """How many questions it was asked and has not answered."""
        return len(self._pipes.asked)

    def keep(self, keeper: Keeper) -> None:
        """Has a keeper hear what becomes of it: at once, where it was lost before it was kept."""
        self._pipes.keep(keeper)

    def put(self, question: Question) -> None:
        """Asks a question, after those it was asked already."""
        self._pipes.ask(question)

    async def ask(self, kind: bytes, payload: str, *, seconds: float) -> str | None:
        """Returns the JSON text of an answer, None for undefined.

        Raises EvaluationFailed, or WorkerLost after which the worker must be closed: also when the time is over. Time
        counts while the worker works: on a busy machine it gets up to STARVED_SECONDS more.
        """
        question = Question.of(kind, payload, seconds)
        self.put(question)
        return await question.answer

    async def close(self) -> None:
        """Ends the process by its id and waits until it is gone."""
        await self._pipes.close()


async def _load(worker: RegoProcess, program: Program) -> None:
    """Gives the worker its program, file by file, so that a file that kills the engine can be named."""
    await worker.ask(wire.ALARM, str(LOAD_SECONDS), seconds=LOAD_SECONDS)
    for path, text in program.modules:
        try:
            await worker.ask(wire.MODULE, json.dumps([path, text]), seconds=LOAD_SECONDS)
        except EvaluationFailed as wrong:
            raise BundleRefused([_parse_finding(path, str(wrong))]) from None
        except WorkerLost:
            mend = "Make its expressions shorter and less nested"
            raise BundleRefused([Finding(path, 0, "the engine died while reading it", mend, "rego-text")]) from None
    try:
        await worker.ask(wire.DATA, program.data_json, seconds=LOAD_SECONDS)
    except EvaluationFailed as wrong:
        raise BundleRefused(
            [Finding("data", 0, f"the engine refuses the data: {wrong}", "Simplify it", "data-file")]
        ) from None
    except WorkerLost:
        problem = f"the data does not fit into {program.memory_bytes >> 20} MB in {LOAD_SECONDS:g} s"
        raise BundleRefused(
            [Finding("data", 0, problem, "Raise the worker's memory or make the data smaller", "bundle-size")]
        ) from None
    await worker.ask(wire.ALARM, str(program.alarm_seconds), seconds=LOAD_SECONDS)


async def check_rules(program: Program, entrypoint: str) -> tuple[list[Finding], list[Finding]]:
    """Returns what forbids a program's modules to decide, and advice on them; its worker ends with the question."""
    worker = await RegoProcess.start(program)
    try:
        answer = await worker.ask(wire.CHECK, entrypoint, seconds=LOAD_SECONDS)
    except (WorkerLost, EvaluationFailed) as wrong:
        mend = "Make the rules shorter and less nested"
        return [Finding("remit/", 0, f"the rules could not be checked: {wrong}", mend, "rego-text")], []
    finally:
        await worker.close()
    refused, advice = json.loads(answer or "[[], []]")
    return [Finding(*found) for found in refused], [Finding(*found) for found in advice]


async def lint_rules(program: Program, knowledge: str, tests: Iterable[tuple[str, str]] = ()) -> list[Finding]:
    """Returns what authors are told of a program's modules, and what keeps them from compiling; for checked rules only.

    `knowledge` is what `linting/all_lints.py` asks for, as JSON. `tests` are modules (path, text) that are parsed and
    compiled beside them, and not looked at further.
    """
    worker = await RegoProcess.start(program)
    try:
        answer = await worker.ask(wire.LINT, knowledge, seconds=LOAD_SECONDS)
        told = [Finding(*found) for found in json.loads(answer or "[]")]
        for path, text in tests:
            try:
                await worker.ask(wire.MODULE, json.dumps([path, text]), seconds=LOAD_SECONDS)
            except EvaluationFailed as wrong:
                told.append(_parse_finding(path, str(wrong)))
        try:
            await worker.ask(wire.QUERY, "true", seconds=LOAD_SECONDS)
        except EvaluationFailed as wrong:
            told.append(_compile_finding(str(wrong)))
    except (WorkerLost, EvaluationFailed) as wrong:
        mend = "Make the rules shorter and less nested"
        return [Finding("remit/", 0, f"the rules could not be looked at: {wrong}", mend, "rego-text")]
    finally:
        await worker.close()
    return told


def _compile_finding(message: str) -> Finding:
    """Returns the engine's complaint about rules that parse: `--> path:LINE:COLUMN` ... `error: why`."""
    place = message.partition("--> ")[2].partition("\n")[0].split(":")
    why = message.rpartition("error: ")[2].strip() or "it does not compile"
    line = int(place[1]) if len(place) > 1 and place[1].isdigit() else 0
    return Finding(place[0] or "remit/", line, why, "Bind it once, before it is used", "rego-compile")


def _parse_finding(path: str, message: str) -> Finding:
    """Returns the engine's complaint about a file as a finding: `--> path:LINE:COLUMN` ... `error: why`."""
    place = message.partition(f"{path}:")[2].partition(":")[0]
    why = message.rpartition("error: ")[2].strip() or "it cannot be read"
    return Finding(
        path, int(place) if place.isdigit() else 0, f"it is not Rego v1: {why}", "Correct the line", "rego-syntax"
    )
