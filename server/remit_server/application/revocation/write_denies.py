"""The writer of revocations: one in each process, and by the accounts' leases one for each AWS account."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from remit_server.application.revocation.account_writer import AccountWriter, Parts
from remit_server.application.revocation.ports import LeaseLost, NotWritten

EVERY_SECONDS: Final = 2.0
HOLDER_EVERY_SECONDS: Final = 0.5  # a revoke that another process recorded wakes nobody here
REST: Final = 10.0  # times as long as reading and rendering took: a long outbox does not keep a core busy
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Turn:
    """The turns of one account: the one that runs, whether another is wanted, and when the next one may begin."""

    writer: AccountWriter
    running: asyncio.Task[None] | None = None
    again: bool = False
    failures: int = 0
    not_before: float = float("-inf")


@dataclass(slots=True)
class WriteDenies:
    """Tells AWS what the outbox wants denied, until it is cancelled.

    `wake` is set by whoever recorded a revoke; without it the outbox is looked at every two seconds, by whoever holds
    the lease of an account every half second. What fails is tried again until it is written. `jitter` gives 0 to 1.
    """

    parts: Parts
    wake: asyncio.Event
    jitter: Callable[[], float]
    _turns: dict[str, _Turn] = field(default_factory=dict)

    async def __call__(self) -> None:
        """Runs until it is cancelled; then it lets no turn go on."""
        try:
            while True:
                await self._begin_turns()
                await self._woken()
        finally:
            running = [turn.running for turn in self._turns.values() if turn.running is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self.parts.canaries.close()

    async def _woken(self) -> None:
        """Waits for a revoke, or a moment: a shorter one for whoever writes an account's policies."""
        holding = [turn.writer.thought for turn in self._turns.values() if turn.writer.holds]
        seconds = max(HOLDER_EVERY_SECONDS, REST * max(holding)) if holding else EVERY_SECONDS
        try:
            async with asyncio.timeout(min(seconds, _LONGEST_PAUSE_SECONDS)):
                await self.wake.wait()
        except TimeoutError:
            return
        self.wake.clear()

    async def _begin_turns(self) -> None:
        """Begins a turn of each account that has denies, unless one runs or the last one failed a moment ago."""
        try:
            accounts = await self.parts.outbox.accounts()
        except Exception:  # noqa: BLE001 - whatever it is: nobody else tells AWS
            _log.exception("the outbox of revocations could not be read; trying again")
            return
        for account in accounts:
            turn = self._turns.setdefault(account, _Turn(AccountWriter(account, self.parts)))
            if turn.running is not None and not turn.running.done():
                turn.again = True
            elif self.parts.clock.monotonic() >= turn.not_before:
                turn.running = asyncio.create_task(self._take(turn), name=f"revocations of {account}")

    async def _take(self, turn: _Turn) -> None:
        """Takes turns until nothing more was asked for meanwhile; a failure ends them for a while."""
        turn.again = True
        while turn.again:
            turn.again = False
            try:
                await turn.writer()
            except LeaseLost:
                return
            except Exception as failed:  # noqa: BLE001 - whatever it is: nobody else tells AWS
                self._told_off(turn, failed)
                return
            turn.failures = 0

    def _told_off(self, turn: _Turn, failed: Exception) -> None:
        """Logs a failure and sets how long the account rests."""
        longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**turn.failures)
        pause = longest * (0.5 + self.jitter() / 2)
        turn.failures += 1
        turn.not_before = self.parts.clock.monotonic() + pause
        cause = None if isinstance(failed, NotWritten) else failed
        _log.error(
            "AWS account %s: revocations could not be written (%s); trying again in %.1f s",
            turn.writer.account,
            failed if isinstance(failed, NotWritten) else type(failed).__name__,
            pause,
            exc_info=cause,
        )
