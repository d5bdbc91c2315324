"""What ten thousand calls at once and a thousand slow sockets cost a gateway: `python -m benchmarks.masses`.

Prints counts, memory, and how soon an ordinary call is answered again. The same is proved, without times, by
`tests/faults/test_masses.py`.
"""

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.rig.masses import Peak, stubs_of
from tests.faults.rig.sinks import token_of
from tests.faults.rig.slow_sockets import Slow
from tests.faults.rig.small_stage import SmallStage, small_stage

CALLS, CHANNELS, SOCKETS = 10_000, 32, 1_000
MB = 1 << 20


async def sockets(stage: SmallStage) -> None:
    """Holds slow sockets of every kind, and asks meanwhile."""
    peak, slow = Peak(stage), Slow(stage)
    async with peak.watched():
        for number in range(SOCKETS):
            await slow.kinds[number % len(slow.kinds)](number)
        began = time.monotonic()
        answers = [(await stage.ask()).short for _ in range(100)]
        each = (time.monotonic() - began) / len(answers)
        await slow.close()
    print(f"{SOCKETS} slow sockets: {peak.growth / MB:.0f} MB more; calls meanwhile {dict(Counter(answers))}, ", end="")
    print(f"{each * 1000:.0f} ms each")


async def calls(stage: SmallStage) -> None:
    """Asks ten thousand times at once, and then once."""
    token, peak = token_of(stage.issuers["issuer"]), Peak(stage)
    async with stubs_of(stage, CHANNELS) as stubs, peak.watched():
        began = time.monotonic()
        asked = (stage.ask(stub=stubs[number % CHANNELS], token=token) for number in range(CALLS))
        heard = Counter(answer.short for answer in await asyncio.gather(*asked))
        took = time.monotonic() - began
        began = time.monotonic()
        await stage.until_ok()
        back = time.monotonic() - began
    print(f"{CALLS} calls at once over {CHANNELS} connections: {dict(heard)} in {took:.1f} s")
    print(
        f"memory: {peak.begin / MB:.0f} MB before, {peak.bytes / MB:.0f} MB at most, {stage.resident / MB:.0f} MB after"
    )
    print(f"an ordinary call is answered {back * 1000:.0f} ms after the last of them; without a record: ", end="")
    print(len(await stage.unrecorded()))


async def main() -> None:
    """Runs both on one gateway."""
    with tempfile.TemporaryDirectory() as folder:
        async with small_stage(Path(folder)) as stage:
            await stage.until_ok()
            await sockets(stage)
            await calls(stage)


if __name__ == "__main__":
    asyncio.run(main())
