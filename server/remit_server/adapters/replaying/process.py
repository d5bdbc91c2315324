"""One worker of a replay as its parent sees it: started on a candidate, asked batch by batch, ended by its id."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from remit_server.adapters.child_processes import process_of
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.replaying import talk
from remit_server.application.policy.ports import RecordedDecision
from remit_server.application.policy.replaying.replaying_one import Replayed

START_SECONDS: Final = 180.0
# An input may stall the candidate's engine twice and still be answered.
BATCH_SECONDS: Final = 30.0
DECISION_SECONDS: Final = 8.0
# NOTE: in isolated mode nothing of the caller's folder or environment is imported; the code is the parent's own.
_RUN: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from remit_server.adapters.replaying.worker import main
main(is_nice=sys.argv[2] == "nice")
"""


class ReplayerLost(Exception):  # noqa: N818 - named for what it says
    """The worker is of no more use: it died, ran out of time, or answered garbage."""


class ReplayProcess:
    """A worker process that has loaded a candidate."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._told: set[str] = set()
        self.candidate = ""

    @classmethod
    async def start(cls, archive: bytes, *, is_nice: bool) -> "ReplayProcess":
        """Returns a worker; raises BundleRefused for a candidate that may not decide, ReplayerLost."""
        where = str(Path(__file__).parents[3])
        process = await process_of((sys.executable, "-I", "-c", _RUN, where, "nice" if is_nice else ""))
        worker = cls(process)
        try:
            kind, payload = await worker._asked(talk.CANDIDATE, archive, seconds=START_SECONDS)
        except BaseException:
            await worker.close()
            raise
        if kind != talk.READY:
            await worker.close()
            raise BundleRefused([Finding(*one) for one in json.loads(payload)])
        worker.candidate = payload.decode()
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def replays(self, batch: Sequence[RecordedDecision], ceilings: Mapping[str, str]) -> tuple[Replayed, ...]:
        """Returns the replay of each decision; raises ReplayerLost, after which the worker must be closed."""
        try:
            for digest in ceilings.keys() - self._told:
                self._told.add(digest)
                await self._send(talk.CEILINGS, json.dumps([digest, ceilings[digest]]).encode())
            seconds = BATCH_SECONDS + DECISION_SECONDS * len(batch)
            _, payload = await self._asked(talk.DECISIONS, talk.decisions_text(batch), seconds=seconds)
            found = talk.replays_of(payload)
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as wrong:
            raise ReplayerLost("it died or broke the protocol") from wrong
        if len(found) != len(batch):
            raise ReplayerLost("it answered another number of decisions")
        return found

    async def close(self) -> None:
        """Ends the process by its id, waits until it is gone; its Rego workers end as their pipes do."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def _asked(self, kind: bytes, payload: bytes, *, seconds: float) -> tuple[bytes, bytes]:
        """Sends one frame and returns the answer; raises ReplayerLost."""
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it was opened as a pipe
        try:
            async with asyncio.timeout(seconds):
                await self._send(kind, payload)
                answer, length = talk.HEADER.unpack(await stdout.readexactly(talk.HEADER.size))
                if length > talk.MAX_FRAME:
                    raise ReplayerLost("a frame over the limit")
                return answer, await stdout.readexactly(length)
        except TimeoutError:
            raise ReplayerLost(f"no answer within {seconds:g} s") from None
        except (OSError, EOFError, RuntimeError) as wrong:
            raise ReplayerLost("it died") from wrong

    async def _send(self, kind: bytes, payload: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was opened as a pipe
        stdin.write(talk.frame(kind, payload))
        await stdin.drain()
