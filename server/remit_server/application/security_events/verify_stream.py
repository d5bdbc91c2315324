"""Has a transmitter show that its stream works: asks for a verification event, and waits until a gateway has it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from remit_server.application.ports import Clock, Entropy
from remit_server.application.security_events.ports import RecordEventOnce, SeenEvent
from remit_server.domain.audit_events import EventStreamVerificationRequested
from remit_server.domain.secret import fingerprint_of
from remit_server.domain.security_event import awaited_states, repeated_states

RequestVerification = Callable[[str, str], Awaitable[None]]

_STATE_BYTES: Final = 16
_LOOK_EVERY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class VerifyStream:
    """Verifies one stream. The state is on record before it is asked for: any replica may be told it."""

    source: str
    request: RequestVerification
    record_once: RecordEventOnce
    seen: SeenEvent
    entropy: Entropy
    clock: Clock

    async def __call__(self, stream_id: str, wait_seconds: float) -> bool:
        """Says whether the transmitter repeated the state to a gateway in time.

        Raises TransmitterUnavailable when it could not be asked, and Outage.
        """
        state = self.entropy(_STATE_BYTES).hex()
        record = EventStreamVerificationRequested(self.source, fingerprint_of(state))
        await self.record_once(awaited_states(self.source), state, record)
        await self.request(stream_id, state)
        deadline = self.clock.monotonic() + wait_seconds
        while not await self.seen(repeated_states(self.source), state):
            if self.clock.monotonic() >= deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return True
