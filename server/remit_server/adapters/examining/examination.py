"""Has an offered bundle examined in a process of its own, which is killed when nobody waits for it any more."""

import asyncio
import contextlib
import json
import os
import pickle
import signal
import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from remit_server.adapters.child_processes import process_of
from remit_server.adapters.examining import wire
from remit_server.adapters.examining.order import Order, Signing
from remit_server.adapters.policy.checking.serving import Served, Serving
from remit_server.application.policy.ports import Examined, NewRevision
from remit_server.config.policy_settings import BundleSigningSettings
from remit_server.domain.policy_revision import BundleFacts, PolicyFinding

SECONDS: Final = 300  # for 100,000 entitlements, and a machine that has other things to do
ADVICE_SECONDS: Final = 200  # then it does without the rest of the advice
MEMORY_BYTES: Final = 2 << 30
_ALARM_MARGIN: Final = 5


class _Lost(Exception):  # noqa: N818 - named for what it says
    """The process ended without an answer."""


@dataclass(frozen=True, slots=True)
class ExamineApart:
    """Examines bundles for the gateway that is to serve them (implements `application.policy.ports.ExamineBundle`).

    `signing` says whose signature they may, or must, bear.
    """

    serving: Serving
    signing: BundleSigningSettings = field(default_factory=BundleSigningSettings)
    seconds: int = SECONDS
    memory_bytes: int = MEMORY_BYTES
    advice_seconds: float = ADVICE_SECONDS

    async def __call__(self, archive: bytes, /) -> Examined:
        """Returns what was found; a process that takes too long or too much is a finding, and gone."""
        try:
            async with asyncio.timeout(self.seconds):
                answer = await self._answer(archive)
        except TimeoutError:
            return _refused(f"to check it took over {self.seconds} s", "Make it smaller, or its rules simpler")
        except _Lost:
            problem = f"to check it took over {self.memory_bytes >> 20} MB, or the process that did so was ended"
            return _refused(problem, "Make it smaller, then publish it again")
        findings = tuple(PolicyFinding(*one) for one in answer["findings"])
        facts = answer["facts"]
        if facts is None:
            return Examined(answer["revision"], findings, None)
        return Examined(answer["revision"], findings, NewRevision(_facts(answer["revision"], facts), archive))

    async def _answer(self, archive: bytes) -> Any:
        """Returns what the process says; raises _Lost when it says nothing. It is gone when this returns or raises."""
        signing = Signing.of(self.signing)
        order = Order(
            Served.of(self.serving), signing, self.memory_bytes, self.seconds + _ALARM_MARGIN, self.advice_seconds
        )
        text = pickle.dumps(order)
        command = (sys.executable, "-I", "-m", "remit_server.adapters.examining.worker")
        process = await process_of(command, limit=wire.MAX_ANSWER)
        try:
            assert process.stdin is not None  # noqa: S101 - it was opened as a pipe
            assert process.stdout is not None  # noqa: S101 - so was this
            try:
                process.stdin.write(wire.HEADER.pack(len(text)) + text)
                process.stdin.write(archive)
                await process.stdin.drain()
                process.stdin.close()
                said = bytearray()
                while piece := await process.stdout.read(wire.MAX_ANSWER):
                    said += piece
                    if len(said) > wire.MAX_ANSWER:
                        raise _Lost
            # RuntimeError is what uvloop raises on a pipe that is closed already.
            except (OSError, RuntimeError) as gone:
                raise _Lost from gone
            if await process.wait():
                raise _Lost
            return json.loads(said)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())


def _facts(revision: str, facts: Any) -> BundleFacts:
    """Returns what the process says of a bundle that may decide."""
    built = facts["built_time"]
    return BundleFacts(
        revision=revision,
        size=facts["size"],
        built_time=None if built is None else datetime.fromisoformat(built),
        signed_by=facts["signed_by"],
        rule_files=facts["rule_files"],
        capabilities=facts["capabilities"],
        entitlements=facts["entitlements"],
    )


def _refused(problem: str, mend: str) -> Examined:
    """Returns the examination of what could not be examined."""
    return Examined("", (PolicyFinding("", 0, problem, mend),), None)
