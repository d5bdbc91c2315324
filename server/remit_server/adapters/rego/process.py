"""One Rego worker as its parent sees it: started with nothing inherited, asked within a time, ended by its id."""

import asyncio
import contextlib
import json
import math
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.rego import wire

LOAD_SECONDS: Final = 60.0
STARVED_SECONDS: Final = 0.75  # so much longer for a worker that the machine has not let work


class WorkerLost(Exception):  # noqa: N818 - named for what it says
    """The worker is of no more use: it died, ran out of time, or answered garbage. The sentence is for the log."""


class EvaluationFailed(Exception):  # noqa: N818 - named for what it says
    """The engine answered with an error; the worker is as good as before. For the log and for authors."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a worker is loaded with; made once per revision and shared by its workers."""

    modules: tuple[tuple[str, str], ...]
    data_json: str
    memory_bytes: int
    alarm_seconds: float
    worker: str = "remit_server.adapters.rego.worker"


class RegoProcess:
    """One worker process, asked one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, program: Program) -> "RegoProcess":
        """Returns a worker that has loaded the program.

        Raises BundleRefused with the file that the engine does not take, WorkerLost when the process fails.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", program.worker, str(program.memory_bytes)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a panic prints what it was evaluating
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
        worker = cls(process)
        try:
            await worker._load(program)
        except BaseException:
            await worker.close()
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def ask(self, kind: bytes, payload: str, *, seconds: float) -> str | None:
        """Returns the JSON text of an answer, None for undefined.

        Raises EvaluationFailed, or WorkerLost after which the worker must be closed: also when the time is over. Time
        counts while the worker works: on a busy machine it gets up to STARVED_SECONDS more.
        """
        try:
            async with self._worked(seconds):
                await self._send(kind, payload)
                answer, text = await self._receive()
        except TimeoutError:
            raise WorkerLost(f"no answer within {seconds} s") from None
        # RuntimeError is what uvloop raises on a pipe that is closed already.
        except (OSError, EOFError, UnicodeDecodeError, RuntimeError) as wrong:
            raise WorkerLost(f"the worker died or broke the protocol ({type(wrong).__name__})") from wrong
        match answer:
            case wire.RESULT:
                return text
            case wire.UNDEFINED:
                return None
            case wire.FAILED:
                raise EvaluationFailed(text)
            case _:
                raise WorkerLost("the worker answered with an unknown kind of frame")

    @asynccontextmanager
    async def _worked(self, seconds: float) -> AsyncIterator[None]:
        """Ends the block with TimeoutError once the worker has worked for so long, or was starved for longer."""
        loop, spent = asyncio.get_running_loop(), cpu_seconds(self.pid)
        watch: asyncio.TimerHandle | None = None

        def look(limit: asyncio.Timeout) -> None:
            nonlocal watch
            left = seconds - (cpu_seconds(self.pid) - spent)
            if not left > 0:  # nor where the system does not tell: infinity less infinity is not more
                limit.reschedule(loop.time())
            else:
                watch = loop.call_later(max(left, 0.01), look, limit)

        async with asyncio.timeout(seconds + STARVED_SECONDS) as limit:
            watch = loop.call_later(seconds, look, limit)
            try:
                yield
            finally:
                watch.cancel()

    async def close(self) -> None:
        """Ends the process by its id and waits until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def _load(self, program: Program) -> None:
        """Gives the worker its program, file by file, so that a file that kills the engine can be named."""
        await self.ask(wire.ALARM, str(LOAD_SECONDS), seconds=LOAD_SECONDS)
        for path, text in program.modules:
            try:
                await self.ask(wire.MODULE, json.dumps([path, text]), seconds=LOAD_SECONDS)
            except EvaluationFailed as wrong:
                raise BundleRefused([_parse_finding(path, str(wrong))]) from None
            except WorkerLost:
                mend = "Make its expressions shorter and less nested"
                raise BundleRefused([Finding(path, 0, "the engine died while reading it", mend, "rego-text")]) from None
        try:
            await self.ask(wire.DATA, program.data_json, seconds=LOAD_SECONDS)
        except EvaluationFailed as wrong:
            raise BundleRefused(
                [Finding("data", 0, f"the engine refuses the data: {wrong}", "Simplify it", "data-file")]
            ) from None
        except WorkerLost:
            problem = f"the data does not fit into {program.memory_bytes >> 20} MB in {LOAD_SECONDS:g} s"
            raise BundleRefused(
                [Finding("data", 0, problem, "Raise the worker's memory or make the data smaller", "bundle-size")]
            ) from None
        await self.ask(wire.ALARM, str(program.alarm_seconds), seconds=LOAD_SECONDS)

    async def _send(self, kind: bytes, payload: str) -> None:
        """Writes one frame."""
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was opened as a pipe
        encoded = payload.encode("utf-8")
        stdin.write(wire.HEADER.pack(kind, len(encoded)) + encoded)
        await stdin.drain()

    async def _receive(self) -> tuple[bytes, str]:
        """Returns kind and text of one frame; raises EOFError when there is none or it is too long."""
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it was opened as a pipe
        kind, length = wire.HEADER.unpack(await stdout.readexactly(wire.HEADER.size))
        if length > wire.MAX_ANSWER:
            raise EOFError("a frame over the limit")
        return kind, (await stdout.readexactly(length)).decode("utf-8")


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time that a process has used; infinity where the system does not tell.

    Source: clock_getcpuclockid(3) of Linux, whose clock of a process is its id, inverted, above three bits of kind.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except (OSError, AttributeError):
        return math.inf


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
