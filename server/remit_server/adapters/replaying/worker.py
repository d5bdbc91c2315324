"""The process that replays decisions: it plans and compares, and has a Rego worker of its own decide."""

import asyncio
import json
import os
import resource
import signal
import sys
from dataclasses import astuple, dataclass, field
from typing import Any, BinaryIO, Final, NoReturn

from remit_server.adapters.policy.answers.decision import PolicyUnavailable, decision_of
from remit_server.adapters.policy.bundles.archive import files_of_archive
from remit_server.adapters.policy.bundles.bundle import Bundle, bundle_of
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.adapters.rego.pipes import WorkerLost
from remit_server.adapters.replaying import talk
from remit_server.application.planning.ceilings import Ceilings, ceilings_of
from remit_server.application.policy.replaying.replaying_one import ReplayOne
from remit_server.application.ports import Revision
from remit_server.domain.decision import Decision, DecisionInput, KeptText

DECISION_SECONDS: Final = 2.0
# A live gateway gives up earlier. Here a machine that is busy must not make a decision fail that did not fail before.
LIMITS: Final = EngineLimits(workers=1, spares=1, decision_seconds=DECISION_SECONDS, wait_seconds=60.0, most_waiting=4)
MEMORY_BYTES: Final = 4 << 30
NICE: Final = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """Decides by the candidate; what kills or stalls its worker is asked once more, and then is its failure."""

    engine: EmbeddedRego

    @property
    def revision(self) -> Revision:
        """The candidate."""
        return self.engine.active

    async def decide(self, question: DecisionInput, /) -> Decision:
        """Returns its decision; raises PolicyUnavailable in the same words each time."""
        try:
            return await self.engine.decide(self.revision, question)
        except PolicyUnavailable as lost:
            if not isinstance(lost.__cause__, WorkerLost):
                raise
        try:
            return await self.engine.decide(self.revision, question)
        except PolicyUnavailable as lost:
            if not isinstance(lost.__cause__, WorkerLost):
                raise
            is_late = str(lost.__cause__).startswith("no answer within")
            why = f"no answer within {DECISION_SECONDS:g} s" if is_late else "its engine died, as of too much memory"
            raise PolicyUnavailable(why) from lost


@dataclass(slots=True)
class Known:
    """The ceilings that a worker was told of; one without a name stands for all."""

    texts: dict[str, str] = field(default_factory=dict)

    def __call__(self, digest: str) -> Ceilings | None:
        """Returns the ceilings of a name; None for a stranger, and for those of another version's floor."""
        text = self.texts.get("", self.texts.get(digest))
        try:
            return None if text is None else ceilings_of(KeptText(text))
        except (ValueError, KeyError, TypeError):
            return None


class _Worker:
    """Answers frames, one after the other, until there are no more."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers
        self._known = Known()

    async def run(self) -> None:
        """Loads the candidate that comes first, then replays."""
        first = self._next()
        if first is None:
            return
        try:
            engine = await _engine(first[1])
        except BundleRefused as refused:
            self._answer(talk.REFUSED, json.dumps([astuple(one) for one in refused.findings]).encode())
            return
        self._answer(talk.READY, engine.active.digest.encode())
        try:
            await self._replay(ReplayOne(Candidate(engine), decision_of, self._known))
        finally:
            await engine.close()

    async def _replay(self, one: ReplayOne) -> None:
        while (asked := await asyncio.to_thread(self._next)) is not None:
            kind, payload = asked
            if kind == talk.CEILINGS:
                digest, text = json.loads(payload)
                self._known.texts[digest] = text
            else:
                replays = [await one(decision) for decision in talk.decisions_of(payload)]
                self._answer(talk.REPLAYS, talk.replays_text(replays))

    def _next(self) -> tuple[bytes, bytes] | None:
        """Returns kind and payload of the next frame; None when there is none."""
        header = self._requests.read(talk.HEADER.size)
        if len(header) < talk.HEADER.size:
            return None
        kind, length = talk.HEADER.unpack(header)
        payload = self._requests.read(length)
        return (kind, payload) if len(payload) == length else None

    def _answer(self, kind: bytes, payload: bytes) -> None:
        self._answers.write(talk.frame(kind, payload))
        self._answers.flush()


async def _engine(archive: bytes) -> EmbeddedRego:
    """Returns the engine of a candidate; raises BundleRefused for one that may not decide."""
    bundle: Bundle = bundle_of(files_of_archive(archive), stamped=False)
    return await EmbeddedRego.start(bundle, LIMITS)


def main(is_nice: Any = False) -> NoReturn:
    """Takes away what the process does not need, then serves its pipes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is the parent's to handle
    if is_nice:
        os.nice(NICE)
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # a stray print must not become a frame
    status = 0
    try:
        asyncio.run(_Worker(sys.stdin.buffer, answers).run())
    except BaseException:  # noqa: BLE001 - the parent hears of it by the end of the pipe
        status = 70
    os._exit(status)
