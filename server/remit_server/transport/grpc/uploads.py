"""Client streams: how many run, how long, how many messages, and how they are read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from google.protobuf.message import Message

from remit_server.domain.errors import Outage, Reason
from remit_server.transport.grpc.reading import malformed

MOST: Final = 2  # of a process: each may hold a whole bundle in memory
OF_A_CALLER: Final = 1  # nobody can have everybody else refused
WITHIN: Final = timedelta(seconds=60)
# Twice as many as the largest bundle needs in pieces of 32 KiB. NOTE: each costs the loop 0.1 ms, however small it is.
MOST_MESSAGES: Final = 4096
_HEARD_OF_WITHIN: Final = 0.01  # seconds; a turn of the loop, mostly


class Uploads:
    """The client streams of one process, `most` of them at a time and one of a caller.

    A caller has `within` for all of its messages and `each_within` for each.
    """

    def __init__(
        self,
        *,
        each_within: timedelta,
        most: int = MOST,
        within: timedelta = WITHIN,
        most_messages: int = MOST_MESSAGES,
    ) -> None:
        self._most = most
        self._within = within.total_seconds()
        self._each_within = each_within.total_seconds()
        self._most_messages = most_messages
        self._callers: list[str] = []

    @contextmanager
    def place(self, caller_id: str) -> Iterator[None]:
        """Holds a place while the block runs; raises Outage when none is free."""
        if self._callers.count(caller_id) >= OF_A_CALLER:
            raise _busy("another upload of yours is being received or checked: wait until it is over")
        if len(self._callers) >= self._most:
            raise _busy(f"{self._most} uploads run in this gateway process, and it takes no more: try again in a while")
        self._callers.append(caller_id)
        try:
            yield
        finally:
            self._callers.remove(caller_id)

    async def read(
        self, messages: AsyncIterator[bytes], whole: Callable[[bytes], Message]
    ) -> AsyncGenerator[Message, None]:
        """Yields the messages of a call as they come, each made `whole`, which raises InvalidRequest.

        Raises InvalidRequest also when they do not come in time, and for too many.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._within
        for _ in range(self._most_messages):
            raw = await self._next(messages, ends - loop.time())
            if raw is None:
                # NOTE: whoever hangs up looks like who has said everything, until the library cancels the call.
                await asyncio.sleep(_HEARD_OF_WITHIN)
                return
            yield whole(raw)
        raise malformed(f"must come in at most {self._most_messages} messages: send larger pieces")

    async def _next(self, messages: AsyncIterator[bytes], left: float) -> bytes | None:
        """Returns the next message, None after the last."""
        try:
            async with asyncio.timeout(max(min(self._each_within, left), 0)):
                return await anext(messages, None)
        except TimeoutError:
            if left <= self._each_within:
                raise malformed(f"did not come whole within {self._within:g} seconds") from None
            raise malformed(f"stalled for {self._each_within:g} seconds") from None


def _busy(message: str) -> Outage:
    return Outage(Reason.OVERLOADED, message, retry_after=timedelta(seconds=5))
