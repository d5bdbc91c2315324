"""Server streams: how many run, how long, to whom, and how they end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import Message

from remit_server.domain.errors import Outage, Reason
from remit_server.transport.grpc.untaken import at_its_end

Context = grpc.aio.ServicerContext[Any, Any]
Answers: TypeAlias = AsyncGenerator[Message, None]
Word: TypeAlias = "asyncio.Future[None]"
# NOTE: a stream was let in once, so it does not go on for ever: as long as a connection (server.py), not longer.
STREAM_AGE: Final = timedelta(minutes=10)


class NotTaken(Exception):  # noqa: N818 - of the caller, not of the gateway
    """The caller does not read what it asked to hear."""


class Streams:
    """The server streams of one process, `most` of them at a time.

    Each message has `taken_within` to leave for the caller. A stream older than `age`, and every stream when the
    gateway stops, ends with Outage: clients come back, by then to another connection or another process.
    """

    def __init__(self, most: int, *, taken_within: timedelta, age: timedelta = STREAM_AGE) -> None:
        self._most = most
        self._taken_within = taken_within.total_seconds()
        self._age = age.total_seconds()
        self._running = 0
        self._stops = False
        self._told: Word | None = None

    def take_place(self) -> Word:
        """Takes a place for the call that is running, and returns the word by which its stream is told to end.

        Raises Outage when none is free or the gateway stops.
        """
        if self._stops:
            raise _come_back("the gateway stops: call again")
        if self._running >= self._most:
            message = f"{self._most} streams are open, and this gateway process takes no more: call again later"
            raise Outage(Reason.OVERLOADED, message, retry_after=timedelta(seconds=5))
        self._running += 1
        at_its_end(self._give_back)
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        return self._told

    async def send(self, answers: Answers, context: Context, told: Word) -> None:
        """Sends each answer as it comes, until there are no more.

        Raises Outage when the stream has to end before that, and NotTaken when the caller does not read.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._age
        async with aclosing(answers):
            while (answer := await _next(answers, told, ends - loop.time())) is not None:
                try:
                    async with asyncio.timeout(self._taken_within):
                        await context.write(answer)
                except TimeoutError:
                    raise NotTaken from None

    def _give_back(self) -> None:
        """Frees a place."""
        self._running -= 1

    def end_all(self, *, stops: bool) -> None:
        """Ends the streams that run, at once; with `stops` no other begins."""
        self._stops = self._stops or stops
        told, self._told = self._told, None
        if told is not None and not told.done():
            told.set_result(None)


async def _next(answers: Answers, told: Word, seconds: float) -> Message | None:
    """Returns the next answer, None after the last; raises Outage when the stream has to end before it comes."""
    if told.done() or seconds <= 0:
        raise _time_to_go(told)
    asked: asyncio.Future[Message | None] = asyncio.ensure_future(anext(answers, None))
    try:
        either: set[asyncio.Future[Any]] = {asked, told}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            return asked.result()
        raise _time_to_go(told)
    finally:
        if asked.done():
            asked.cancelled() or asked.exception()  # seen, also where the caller has gone
        else:
            asked.cancel()
            with suppress(asyncio.CancelledError):
                await asked


def _time_to_go(told: Word) -> Outage:
    return _come_back("the gateway serves elsewhere: call again" if told.done() else "call again: time is over")


def _come_back(message: str) -> Outage:
    """Returns the end of a stream that may be opened again at once."""
    return Outage(Reason.STREAM_ENDED, message)
