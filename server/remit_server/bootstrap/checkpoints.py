"""Wires what keeps checkpoints of the audit chain elsewhere."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from remit_server.adapters.checkpoints.keeping import keeper_of
from remit_server.adapters.database.lifecycle.holding import DatabaseHolds
from remit_server.adapters.database.trail.trail import tip_of
from remit_server.adapters.database.writing.store import Store
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.oversight.keep_checkpoints import Keep, KeepCheckpoints
from remit_server.bootstrap.background import in_background
from remit_server.config.checkpoint_settings import CheckpointSettings


async def keep_checkpoints(
    stack: AsyncExitStack,
    settings: CheckpointSettings | None,
    store: Store,
    clock: SystemClock,
    *,
    counted: Callable[[Keep], Keep] = lambda keep: keep,
) -> None:
    """Starts to keep checkpoints where that is configured, until the stack is left; raises RuntimeError for the key.

    `counted` has somebody look on at what is kept.
    """
    if settings is None:
        return

    async def tip() -> tuple[int, str]:
        return await store.read(tip_of)

    try:
        keep = await asyncio.to_thread(keeper_of, settings)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"the key of the checkpoints cannot be used: {error}") from error
    holder = system_entropy(16).hex()
    work = KeepCheckpoints(
        tip, counted(keep), DatabaseHolds(store), holder, clock, settings.every, settings.every_records
    )
    in_background(stack, work(), "checkpoints")
