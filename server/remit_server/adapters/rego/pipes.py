"""The two pipes to a Rego worker, below any stream: questions go in one frame each, answers are told as they come.

A worker answers in the order of asking. So it may be given questions ahead, and does not wait for the event loop
between two of them; the first that is not answered is the one it works on.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from remit_server.adapters.rego import wire

STARVED_SECONDS: Final = 0.75  # so much longer for a worker that the machine has not let work
_SHORTEST_LOOK: Final = 0.01


class WorkerLost(Exception):  # noqa: N818 - named for what it says
    """The worker is of no more use: it died, ran out of time, or answered garbage. The sentence is for the log."""


class EvaluationFailed(Exception):  # noqa: N818 - named for what it says
    """The engine answered with an error; the worker is as good as before. For the log and for authors."""


@dataclass(slots=True, eq=False)
class Question:
    """One frame to ask, how long the worker may work on it, and where its answer goes: to nobody once they are gone."""

    frame: bytes
    seconds: float
    answer: "asyncio.Future[str | None]"
    patience: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, kind: bytes, payload: str, seconds: float) -> "Question":
        """Returns the question that a frame of this kind and text asks."""
        encoded = payload.encode("utf-8")
        frame = wire.HEADER.pack(kind, len(encoded)) + encoded
        return cls(frame, seconds, asyncio.get_running_loop().create_future())

    def wait(self, seconds: float, otherwise: Exception) -> None:
        """Fails the question once no worker has come to it for so long."""
        self.patience = asyncio.get_running_loop().call_later(seconds, self.fail, otherwise)

    def begin(self) -> None:
        """Ends the wait for a worker."""
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None

    def tell(self, answer: str | None) -> None:
        """Hands the answer to whoever waits for it."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, why: Exception) -> None:
        """Hands a failure to whoever waits for an answer."""
        self.begin()
        if not self.answer.done():
            self.answer.set_exception(why)


class Keeper(Protocol):
    """Who keeps a worker, and hears what becomes of it."""

    def answered(self) -> None:
        """Hears that the worker has answered a question, and has room for one more."""

    def lost(self, why: WorkerLost, unbegun: list[Question], /) -> None:
        """Hears that the worker is of no more use, and which questions it had not come to."""


@dataclass(slots=True)
class WorkerPipes(asyncio.SubprocessProtocol):
    """What a worker was asked and has not answered, oldest first, and the bytes of an answer that has begun to come."""

    keeper: Keeper | None = None
    asked: deque[Question] = field(default_factory=deque)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.SubprocessTransport | None = None
    _input: asyncio.WriteTransport | None = None
    _held: bytearray = field(default_factory=bytearray)
    _watch: asyncio.TimerHandle | None = None
    _spent: float = 0.0
    _latest: float = 0.0
    _why_lost: WorkerLost | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._transport.get_pid()

    def ask(self, question: Question) -> None:
        """Asks at once; a worker that is lost already fails the question."""
        if self._why_lost is not None:
            question.fail(self._why_lost)
            return
        self.asked.append(question)
        if len(self.asked) == 1:
            self._begin()
        try:
            assert self._input is not None  # noqa: S101 - it was opened as a pipe
            self._input.write(question.frame)
        except (OSError, RuntimeError) as wrong:  # RuntimeError is what uvloop raises on a pipe that is closed already
            self.give_up(_broken(wrong))

    def keep(self, keeper: Keeper) -> None:
        """Tells a keeper what becomes of the worker; a worker that nobody kept may have been lost meanwhile."""
        self.keeper = keeper
        if self._why_lost is not None:
            keeper.lost(self._why_lost, [])

    def give_up(self, why: WorkerLost) -> None:
        """Takes the worker for lost: fails the question it was at, and hands back those it had not come to."""
        if self._why_lost is not None:
            return
        self._why_lost = why
        self._unwatch()
        if self.asked:
            self.asked.popleft().fail(why)
        unbegun = list(self.asked)
        self.asked.clear()
        if self.keeper is not None:
            self.keeper.lost(why, unbegun)
        else:
            for question in unbegun:
                question.fail(why)

    async def close(self) -> None:
        """Ends the process by its id and returns once it is gone."""
        self.keeper = None
        self.give_up(WorkerLost("the worker was ended"))
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()
        # NOTE: closing a transport may reap the process itself, of which asyncio then complains: so it is closed last.
        await self.ended.wait()
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the process and its input."""
        self._process = cast("asyncio.SubprocessTransport", transport)  # uvloop's is none by its class
        self._input = cast("asyncio.WriteTransport", self._process.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - there is one pipe to read
        """Tells every answer that is complete."""
        self._held += data
        size = wire.HEADER.size
        while len(self._held) >= size:
            kind, length = wire.HEADER.unpack_from(self._held)
            if not self.asked or length > wire.MAX_ANSWER:
                self.give_up(WorkerLost("the worker broke the protocol: a frame that nobody asked for, or too long"))
                return
            if len(self._held) < size + length:
                return
            payload = bytes(self._held[size : size + length])
            del self._held[: size + length]
            self._told(kind, payload)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Takes a worker for lost that answers no more; what it wrote before its end has been read by then."""
        if fd == 1:
            self.give_up(_broken(exc or EOFError()))

    def process_exited(self) -> None:
        """Notes that the process is gone."""
        self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Takes a worker for lost of which nothing is left."""
        self.give_up(_broken(exc or EOFError()))

    @property
    def _transport(self) -> asyncio.SubprocessTransport:
        """The process."""
        assert self._process is not None  # noqa: S101 - it is there once the process has started
        return self._process

    def _told(self, kind: bytes, payload: bytes) -> None:
        """Hands the oldest question its answer, and watches the next one."""
        question = self.asked[0]
        match kind:
            case wire.RESULT:
                try:
                    question.tell(payload.decode("utf-8"))
                except UnicodeDecodeError as wrong:
                    self.give_up(_broken(wrong))
                    return
            case wire.UNDEFINED:
                question.tell(None)
            case wire.FAILED:
                question.fail(EvaluationFailed(payload.decode("utf-8", "replace")))
            case _:
                self.give_up(WorkerLost("the worker answered with an unknown kind of frame"))
                return
        self._unwatch()
        self.asked.popleft()
        if self.asked:
            self._begin()
        if self.keeper is not None:
            self.keeper.answered()

    def _begin(self) -> None:
        """Watches the question that the worker is at now."""
        question = self.asked[0]
        question.begin()
        loop = asyncio.get_running_loop()
        self._spent = cpu_seconds(self.pid)
        self._latest = loop.time() + question.seconds + STARVED_SECONDS
        self._watch = loop.call_later(question.seconds, self._look)

    def _look(self) -> None:
        """Takes the worker for lost once it has worked for so long on a question, or was starved for longer."""
        loop, seconds = asyncio.get_running_loop(), self.asked[0].seconds
        left = seconds - (cpu_seconds(self.pid) - self._spent)
        time_left = self._latest - loop.time()
        if left > 0 and time_left > 0:  # nor where the system does not tell: infinity less infinity is not more
            self._watch = loop.call_later(min(max(left, _SHORTEST_LOOK), time_left), self._look)
        else:
            self.give_up(WorkerLost(f"no answer within {seconds} s"))

    def _unwatch(self) -> None:
        """Ends the watch."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def _broken(wrong: Exception) -> WorkerLost:
    """Returns the loss of a worker whose pipe broke or carried garbage."""
    lost = WorkerLost(f"the worker died or broke the protocol ({type(wrong).__name__})")
    lost.__cause__ = wrong
    return lost


def cpu_seconds(pid: int) -> float:
    """Returns the CPU time that a process has used; infinity where the system does not tell.

    Source: clock_getcpuclockid(3) of Linux, whose clock of a process is its id, inverted, above three bits of kind.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except (OSError, AttributeError):
        return math.inf
