"""Agents in masses: many connections at once, and the most memory that the gateway takes meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.faults.rig.small_stage import SmallStage


@dataclass
class Peak:
    """The most memory that the gateway had while it was watched."""

    stage: SmallStage
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.begin = self.bytes = self.stage.resident

    @property
    def growth(self) -> int:
        return self.bytes - self.begin

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Looks every now and then until the end of the block."""
        task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            task.cancel()
            self.bytes = max(self.bytes, self.stage.resident)

    async def _look(self) -> None:
        while True:
            self.bytes = max(self.bytes, self.stage.resident)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def stubs_of(stage: SmallStage, count: int, agent: str = "copilot") -> AsyncIterator[list[Any]]:
    """Opens so many connections of an agent."""
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(stage.who.channel(stage.gateway.mtls, agent)) for _ in range(count)]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        yield [stage.stub_of(channel) for channel in channels]
