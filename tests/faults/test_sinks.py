"""What a gateway tells and follows beside its calls fails: checkpoints, notices, security events, bundles.

No task waits for any of them. Nothing is lost: what is owed is delivered once the fault is over.
"""

import os
import time
from collections.abc import Sequence

import pytest
from tests.event_world import SESSION_REVOKED
from tests.faults.faults import FAULTS, MARK
from tests.faults.rig.asking import until
from tests.faults.rig.configuration import sample_archive
from tests.faults.rig.stage import Stage

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]
EXTENDED = os.environ.get("REMIT_EXTENDED") == "1"
SINKS = ("checkpoints", "webhook", "events", "bundles")
TAKEN = {"empty", "other-json", "huge"}  # a 2xx is a receipt, whatever its body says
ANSWERING = ("events", "bundles")
MOST_A_SECOND = 4.0  # of one of them: each has a pace of its own, or pauses longer after each failure
MOST_GROWTH = 64 << 20
LEFT_OUT = {"slow": "it is no fault to them", "late": "to them it is a stall"}
IN_EACH = ("half",)


def faults() -> list[object]:
    """Returns the faults by name, those of the extended run with their reason."""
    longer = pytest.mark.skipif(not EXTENDED, reason="this fault is part of the extended run: REMIT_EXTENDED=1")
    return [pytest.param(name, marks=[] if name in IN_EACH else [longer]) for name in FAULTS if name not in LEFT_OUT]


@pytest.mark.parametrize("fault", faults())
async def test_no_task_waits_for_a_sink_and_nothing_is_lost(stage: Stage, fault: str) -> None:
    before, memory, said, began = await stage.recorded(), stage.resident, len(stage.log), time.monotonic()
    failing = ANSWERING if fault in TAKEN else SINKS
    for name in failing:
        await stage.proxies[name].suffer(FAULTS[fault])
    told, kept = len(stage.sinks.notices), len(stage.sinks.checkpoints)
    stage.sinks.archive, stage.sinks.etag = sample_archive(fault), f'"{fault}"'
    event = stage.transmitter.enqueue(
        SESSION_REVOKED, sub_id={"format": "iss_sub", "iss": stage.issuers["issuer"], "sub": "dora"}
    )

    heard = [(await stage.ask()).short, (await stage.ask(action="s3:PutObject")).short]
    await until(lambda: tried(stage, failing, fault))
    still = await stage.ask()
    pace = {name: stage.proxies[name].asked / (time.monotonic() - began + 1) for name in failing}
    for name in failing:
        await stage.proxies[name].lift()
    recorded = await stage.recorded()
    await until(lambda: delivered(stage, told, kept, recorded))
    await until(lambda: stage.has(before, "revision_activated"))

    assert heard == ["OK", "OK PENDING"]
    assert still.short == "OK"
    assert max(pace.values()) < MOST_A_SECOND, pace
    assert event in stage.transmitter.acknowledged
    assert await stage.has(before, "security_event_received")
    assert await stage.unrecorded() == []
    assert stage.resident - memory < MOST_GROWTH
    assert MARK not in stage.log[said:]


async def tried(stage: Stage, failing: Sequence[str], fault: str) -> bool:
    """Says whether every sink was asked, or would have been: nobody counts who finds nobody listening."""
    return not FAULTS[fault].listens or all(stage.proxies[name].asked for name in failing)


async def delivered(stage: Stage, told: int, kept: int, recorded: int) -> bool:
    """Says whether a notice, every event and a checkpoint of all that is recorded have come, beside what had before."""
    counts = [one["count"] for one in stage.sinks.checkpoints[kept:]]
    return len(stage.sinks.notices) > told and not stage.transmitter.queue and max(counts, default=0) >= recorded
