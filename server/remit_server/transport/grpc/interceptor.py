"""The one interceptor: an allow-list of methods, a known caller, a whole message, every failure as a clean status."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final, NoReturn, Protocol, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from remit_server.application.admission import Rejections
from remit_server.application.observing import CallObserver
from remit_server.domain.errors import Outage, Reason, RemitError, told_of
from remit_server.domain.identity import Admitted, Caller
from remit_server.transport.grpc.caller import caller_of, peer_of
from remit_server.transport.grpc.observing import observed_call, unlisted
from remit_server.transport.grpc.reading import AnyHandler, one_message, whole
from remit_server.transport.grpc.status import DETAILS_KEY, code_of, status_of
from remit_server.transport.grpc.streams import Answers, NotTaken, Streams
from remit_server.transport.grpc.untaken import Untaken, at_its_end, end_call
from remit_server.transport.grpc.uploads import Uploads

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "AnyHandler | None"
Behaviour: TypeAlias = Callable[[AsyncIterator[bytes], Context], Awaitable[Message | None]]
K = TypeVar("K", bound="Known")
READ_WITHIN: Final = timedelta(seconds=5)
TAKEN_WITHIN: Final = timedelta(seconds=5)
OPEN_READ_WITHIN: Final = timedelta(seconds=0.5)  # a health check is one small message, sent at once
MOST_STRANGERS: Final = 64
MOST_OF_A_STRANGER: Final = 16  # calls of one address: it cannot have everybody else's health checks refused
MOST_UNTAKEN: Final = 64  # of one actor: answers leave at once, unless the caller does not want them
# NOTE: none of these is a failure of the method: the first is a caller who hung up, the others end the process.
_PASSED_ON: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
_STRANGERS: Final = "strangers "  # with a space, as no actor's id and no address has one
# Each call runs in a context of its own.
_ADMITTED: ContextVar["Known"] = ContextVar("admitted")
_STRANGER: ContextVar[str] = ContextVar("stranger")
_log = logging.getLogger(__name__)


class Known(Protocol):
    """A caller that was let in."""

    @property
    def caller_id(self) -> str:
        """Who it is, by the one name that its calls are counted under."""
        ...


class Door(Protocol):
    """Lets the callers of some methods in, as `application.admission.Admission` lets in agents."""

    @property
    def rejections(self) -> Rejections:
        """Counts who is turned away before it is known."""
        ...

    def __call__(self, caller: Caller, method: str, /) -> AbstractAsyncContextManager[Known]:
        """Admits the caller for the time of the block, for one call of its budget and one of its places."""
        ...

    def reading(self, admitted: Any, method: str, /) -> AbstractAsyncContextManager[None]:
        """Puts on record that an admitted caller sent what the block cannot read: it raises InvalidRequest."""
        ...


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every method: who calls is known before a byte of the message is read.

    `doors` let callers in, by the full name of the method: unary ones, `calls` of which run at a time, and server
    streams. `open_methods` are anybody's, so few of them run at a time. A caller has `read_within` to send its message
    and `taken_within` to take the answer: for as long as it does neither it holds one of the server's places for
    nothing.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        *,
        calls: int,
        streams: Streams,
        open_methods: frozenset[str] = frozenset(),
        read_within: timedelta = READ_WITHIN,
        taken_within: timedelta = TAKEN_WITHIN,
        uploads: Uploads | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        self._doors = doors
        self._observer = observer
        self._unlisted: AnyHandler = grpc.unary_unary_rpc_method_handler(unlisted(observer))
        self._open_methods = open_methods
        self._most_calls, self._calls = calls, 0
        self._streams = streams
        self._read_within = read_within.total_seconds()
        self._uploads = uploads or Uploads(each_within=read_within)
        self._untaken = Untaken(taken_within)
        self._strangers: Counter[str] = Counter()
        self._wrapped: dict[str, AnyHandler] = {}  # of those that are listed; whichever server asks, they are the same

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Hands on only methods that are listed by their full name (8-threats.md G1)."""
        name = str(handler_call_details.method)
        door = self._doors.get(name)
        if door is None and name not in self._open_methods:
            return self._unlisted
        if (wrapped := self._wrapped.get(name)) is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is not None:
            handler = self._wrapped[name] = self._wrap(handler, name, door)
        return handler

    def _wrap(self, handler: AnyHandler, name: str, door: Door | None) -> AnyHandler:
        """Returns the method as it is answered: a caller is admitted, a message read, a failure told."""
        # NOTE: to the caller this is the same method. As a stream of one the message is read here, within a time, and
        # not by the library, which waits for it for as long as the caller likes (8-threats.md G6).
        as_one, method = {"response_serializer": handler.response_serializer}, name.rpartition("/")[2]
        if door is None:
            if handler.unary_unary is None:
                return handler  # reflection, where it is switched on: a stream of the library's own
            return grpc.stream_unary_rpc_method_handler(self._answering(self._open(handler), name), **as_one)
        if handler.unary_stream is not None:
            streaming: Any = self._answering(self._streaming(handler, door, method), name)
            return grpc.stream_stream_rpc_method_handler(streaming, **as_one)
        wrap = self._guarded if handler.stream_unary is None else self._uploading
        return grpc.stream_unary_rpc_method_handler(self._answering(wrap(handler, door, method), name), **as_one)

    def _guarded(self, handler: AnyHandler, door: Door, method: str) -> Behaviour:
        """Wraps a method: admits the caller, then reads and validates its message."""
        behaviour: Callable[[Message, Context], Awaitable[Message]] = cast("Any", handler.unary_unary)

        async def guarded(messages: AsyncIterator[bytes], context: Context) -> Message:
            async with door(_caller(context, door), method) as admitted:
                self._begin(admitted)
                async with door.reading(admitted, method):
                    request = whole(await one_message(messages, self._read_within), handler)
                return await behaviour(request, context)

        return guarded

    def _streaming(self, handler: AnyHandler, door: Door, method: str) -> Behaviour:
        """Wraps a server stream in the same way; whoever does not read it is ended."""
        behaviour: Callable[[Message, Context], Answers] = cast("Any", handler.unary_stream)

        async def streaming(messages: AsyncIterator[bytes], context: Context) -> None:
            async with door(_caller(context, door), method) as admitted:
                _ADMITTED.set(admitted)
                told = self._streams.take_place()
                async with door.reading(admitted, method):
                    request = whole(await one_message(messages, self._read_within), handler)
                await self._streams.send(behaviour(request, context), context, told)

        return streaming

    def _uploading(self, handler: AnyHandler, door: Door, method: str) -> Behaviour:
        """Wraps a client stream: admits the caller, whose messages the method reads once it has allowed that."""
        behaviour: Callable[[AsyncIterator[Message], Context], Awaitable[Message]] = cast("Any", handler.stream_unary)

        async def uploading(messages: AsyncIterator[bytes], context: Context) -> Message:
            async with door(_caller(context, door), method) as admitted:
                self._begin(admitted)
                with self._uploads.place(admitted.caller_id):
                    return await behaviour(self._uploads.read(messages, lambda raw: whole(raw, handler)), context)

        return uploading

    def _begin(self, admitted: Known) -> None:
        """Notes whose call is running, and takes a place for it."""
        _ADMITTED.set(admitted)
        self._take_place()
        if self._untaken.of(admitted.caller_id) >= MOST_UNTAKEN:
            raise Outage(Reason.OVERLOADED, "too many answers wait for this agent: take them, then ask again")

    def _take_place(self) -> None:
        """Takes one of the places for the call that is running, until the library is rid of it."""
        if self._calls >= self._most_calls:
            message = (
                f"{self._most_calls} calls run in this gateway process, and it takes no more: ask again in a second"
            )
            raise Outage(Reason.OVERLOADED, message, retry_after=timedelta(seconds=1))
        self._calls += 1
        at_its_end(self._give_back)

    def _give_back(self) -> None:
        """Frees a place."""
        self._calls -= 1

    def _open(self, handler: AnyHandler) -> Behaviour:
        """Wraps a method that anybody may call, such as a health check."""
        behaviour: Callable[[Message, Context], Awaitable[Message]] = cast("Any", handler.unary_unary)

        async def opened(messages: AsyncIterator[bytes], context: Context) -> Message:
            who = f"at {peer_of(context)}"
            _STRANGER.set(who)
            of_this_one = self._strangers[who] + self._untaken.of(who)
            if of_this_one >= MOST_OF_A_STRANGER or self._of_strangers() >= MOST_STRANGERS:
                raise Outage(Reason.OVERLOADED, "too many health checks are running: ask again in a second")
            self._strangers[who] += 1
            try:
                within = min(self._read_within, OPEN_READ_WITHIN.total_seconds())
                return await behaviour(whole(await one_message(messages, within), handler), context)
            finally:
                self._strangers[who] -= 1
                self._strangers += Counter()  # drops those that have none running

        return opened

    def _of_strangers(self) -> int:
        """Returns how many calls of strangers hold a place."""
        return self._strangers.total() + self._untaken.of(_STRANGERS)

    def _answering(self, behaviour: Behaviour, name: str) -> Behaviour:
        """Answers every failure of a method with its status; whoever does not take the answer loses its place."""
        behaviour = observed_call(self._observer, behaviour, name)

        async def answering(messages: AsyncIterator[bytes], context: Context) -> Message | None:
            try:
                answer = await behaviour(messages, context)
            except (grpc.aio.AbortError, *_PASSED_ON):
                raise
            except NotTaken:
                end_call()
            except BaseException as error:  # noqa: BLE001 - a panic of a library is no Exception; it gets a clean status
                self._untaken.note()  # a status needs no window: at worst the caller does not read at all
                return await _abort(context, error)
            self._untaken.note(*(() if answer is None else _answered_to()))
            return answer

        return answering


def admitted_caller() -> Admitted:
    """Returns which agent was let in for the call that is running."""
    return admitted_as(Admitted)


def admitted_as(kind: type[K]) -> K:
    """Returns who was let in for the call that is running, as its door says it; raises TypeError for another's."""
    admitted = _ADMITTED.get()
    if not isinstance(admitted, kind):
        raise TypeError(f"a method for callers of kind {kind.__name__} stands behind another door")
    return admitted


def _answered_to() -> tuple[str, ...]:
    """Returns whose call is running: an actor's, or a stranger's at an address, who is one of all strangers."""
    admitted = _ADMITTED.get(None)
    return (admitted.caller_id,) if admitted else (_STRANGER.get(), _STRANGERS)


def _caller(context: Context, door: Door) -> Caller:
    """Returns who calls, unverified; counts those whose metadata contradict themselves."""
    try:
        return caller_of(context)
    except RemitError as error:
        door.rejections.count(peer_of(context), error.reason)
        raise


async def _abort(context: Context, error: BaseException) -> NoReturn:
    """Ends the call with the error's status; the cause goes to the log, never to the caller."""
    told = told_of(error)
    if told is not error:
        _log.error("an unexpected failure was answered as INTERNAL", exc_info=error)
    elif isinstance(told, Outage) and told.__cause__ is not None:
        # NOTE: only outages: a no is on record, and a stranger must not be able to fill the log with it. An overload is
        # told without its trace: there are as many as there are calls too many.
        trace = None if told.reason is Reason.OVERLOADED else told.__cause__
        _log.warning("%s: %s", told.reason.value, told.message, exc_info=trace)
    status = status_of(told)
    await context.abort(code_of(told.reason), status.message, ((DETAILS_KEY, status.SerializeToString()),))
