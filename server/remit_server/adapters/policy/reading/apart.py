"""Has a bundle's archive read in a process of its own, which is killed when nobody waits for it any more."""

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from remit_server.adapters.child_processes import process_of
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.bundles.capability_json import capability
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.reading import wire
from remit_server.domain.policy_revision import BundleFacts

SECONDS: Final = 120
MEMORY_BYTES: Final = 2 << 30
_ALARM_MARGIN: Final = 5


class _Lost(Exception):  # noqa: N818 - named for what it says
    """The process ended without a whole answer."""


@dataclass(frozen=True, slots=True)
class ReadBundle:
    """A bundle that was read, and what is known of it. Who signed it, and whether, is for its source to say."""

    bundle: Bundle
    facts: BundleFacts


async def read_apart(
    archive: bytes,
    roles: Collection[str] | None = None,
    *,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
) -> ReadBundle:
    """Returns the bundle of an archive; with `roles` one that names another is refused.

    Raises BundleRefused, also when that takes too long or too much.
    """
    order = {
        "roles": None if roles is None else sorted(roles),
        "memory_bytes": memory_bytes,
        "seconds": math.ceil(seconds) + _ALARM_MARGIN,
    }
    text = json.dumps(order).encode()
    try:
        async with asyncio.timeout(seconds):
            answer = await _answer(wire.LENGTH.pack(len(text)) + text + archive)
    except (TimeoutError, _Lost) as lost:
        late = isinstance(lost, TimeoutError)
        problem = f"reading it takes over {seconds:g} s" if late else f"reading it takes over {memory_bytes >> 20} MB"
        raise BundleRefused([Finding("archive", 0, problem, "Make the bundle smaller")]) from lost
    return await asyncio.to_thread(_read_bundle, answer)


async def _answer(order: bytes) -> bytes:
    """Returns what the process says; raises _Lost where that is nothing. It is gone when this returns or raises."""
    process = await process_of((sys.executable, "-I", "-m", "remit_server.adapters.policy.reading.worker"))
    try:
        answer, _ = await process.communicate(order)
    # RuntimeError is what uvloop raises on a pipe that is closed already.
    except (OSError, RuntimeError) as gone:
        raise _Lost from gone
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode or not answer:
        raise _Lost
    return answer


def _read_bundle(answer: bytes) -> ReadBundle:
    """Returns the bundle that an answer spells out; raises BundleRefused with its findings instead."""
    first, at = _frame(answer, 1)
    if answer[:1] == wire.REFUSED:
        raise BundleRefused([Finding(*finding) for finding in json.loads(first)])
    told: Any = json.loads(first)
    data, _ = _frame(answer, at)
    bundle = Bundle(
        revision=told["revision"],
        modules=tuple((path, text) for path, text in told["modules"]),
        data_json=data.decode(),
        capabilities={name: capability(name, raw) for name, raw in told["capabilities"].items()},
    )
    facts = BundleFacts(
        revision=bundle.revision,
        size=told["size"],
        built_time=None if told["built_time"] is None else datetime.fromisoformat(told["built_time"]),
        signed_by="",
        rule_files=len(bundle.rules),
        capabilities=len(bundle.capabilities),
        entitlements=told["entitlements"],
    )
    return ReadBundle(bundle, facts)


def _frame(answer: bytes, at: int) -> tuple[bytes, int]:
    """Returns the content that begins there, and where the next one does."""
    (length,) = wire.LENGTH.unpack_from(answer, at)
    start = at + wire.LENGTH.size
    return answer[start : start + length], start + length
