"""Lets an observer look on at every call, where there is one; without one nothing stands in a call's way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import Message

from remit_server.application.observing import CallObserver
from remit_server.transport.grpc.streams import NotTaken

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour: TypeAlias = Callable[[AsyncIterator[bytes], Context], Awaitable[Message | None]]
TRACEPARENT: Final = "traceparent"


def observed_call(observer: CallObserver | None, behaviour: Behaviour, name: str) -> Behaviour:
    """Returns a method as an observer sees it: begun before its caller is known, ended before it is answered."""
    if observer is None:
        return behaviour

    async def seen(messages: AsyncIterator[bytes], context: Context) -> Message | None:
        begun = observer.call_begins(name, partial(_traceparent, context))
        try:
            answer = await behaviour(messages, context)
        except BaseException as error:
            gone = asyncio.CancelledError() if isinstance(error, NotTaken) else error
            observer.call_ends(name, begun, gone)
            raise
        observer.call_ends(name, begun, None)
        return answer

    return seen


def unlisted(observer: CallObserver | None) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """Returns what answers a method that is not served. NOTE: its name is the caller's word, and is not repeated."""

    async def refuse(_request: bytes, context: Context) -> bytes:
        if observer is not None:
            observer.call_ends("", observer.call_begins("", str), None)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")

    return refuse


def _traceparent(context: Context) -> str:
    """Returns the header by which a caller names its trace; empty where there is none, or more than one."""
    found = [value for key, value in context.invocation_metadata() or () if key == TRACEPARENT]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""
