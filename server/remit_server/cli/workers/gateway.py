"""What a worker of the gateway does: it serves its share, and tells the supervisor how it is."""

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from remit_server.cli.heap import keep_what_is_loaded
from remit_server.cli.output import CANNOT_START
from remit_server.cli.workers import process

if TYPE_CHECKING:
    from remit_server.adapters.metrics.cells import Cells
    from remit_server.adapters.policy.sources.choosing import FirstOffer
    from remit_server.config.settings import Settings

_SIGN_OF_LIFE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class GatewayWork:
    """Serves a gateway in one of its workers: by the settings and the policy that the supervisor has read once.

    `nonce` names this start of the gateway: today's workers and those that replace them serve OPA the same bundle.
    `cells` are where all of them count, where they do.
    """

    settings: "Settings"
    first: "FirstOffer"
    workers: int
    nonce: str
    cells: "Cells | None" = None

    def __call__(self, number: int, say: process.Say) -> int:
        """Returns the worker's exit code, once it was told to stop or could not start."""
        import uvloop

        from remit_server.cli.start_errors import start_errors

        try:
            uvloop.run(self._serve(number, say))
        except start_errors() as error:
            say(process.FAILED, why=str(error))
            return CANNOT_START
        return 0

    async def _serve(self, number: int, say: process.Say) -> None:
        """Serves until a SIGTERM arrives."""
        from remit_server.bootstrap import Seat, running_gateway

        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        seat = Seat(number, self.workers, self.nonce, self.cells)
        async with running_gateway(self.settings, first=self.first, seat=seat) as gateway:
            keep_what_is_loaded()
            say(process.SERVING, where=f"{gateway.where} under policy {gateway.policy_revision}")
            while not stop.is_set():
                say(process.ALIVE)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SIGN_OF_LIFE_SECONDS):
                        await stop.wait()
            say(process.STOPPING)
