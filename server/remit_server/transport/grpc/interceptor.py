"""The one interceptor: an allow-list of methods, a whole message or none, and every failure as a clean status."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message

from remit_server.domain.errors import FieldViolation, InvalidRequest, Outage, Reason, told_of
from remit_server.transport.grpc.caller import peer_of
from remit_server.transport.grpc.status import DETAILS_KEY, code_of, status_of
from remit_server.transport.grpc.validation import violations

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
READ_WITHIN: Final = timedelta(seconds=5)
# NOTE: none of these is a failure of the method: the first is a caller who hung up, the others end the process.
_PASSED_ON: Final = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
_log = logging.getLogger(__name__)


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every method. `reject` counts a caller who failed before anybody knew who it was.

    A caller has `read_within` to send its message: until then it holds one of the server's places for nothing.
    """

    def __init__(
        self, methods: frozenset[str], reject: Callable[[str, Reason], None], *, read_within: timedelta = READ_WITHIN
    ) -> None:
        self._methods = methods
        self._reject = reject
        self._read_within = read_within.total_seconds()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Hands on only methods that are listed by their full name (8-threats.md G1)."""
        if str(handler_call_details.method) not in self._methods:
            return grpc.unary_unary_rpc_method_handler(_unimplemented)
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler  # reflection, where it is switched on: a stream of the library's own
        # NOTE: to the caller this is the same method. As a stream of one the message is read here, within a time, and
        # not by the library, which waits for it for as long as the caller likes (8-threats.md G6).
        return grpc.stream_unary_rpc_method_handler(
            self._guarded(handler), response_serializer=handler.response_serializer
        )

    def _guarded(self, handler: "grpc.RpcMethodHandler[Any, Any]") -> Callable[[Any, Any], Any]:
        """Wraps a method: reads and validates its message and answers its failures."""
        method: Callable[[Message, Context], Awaitable[Message]] = cast("Any", handler.unary_unary)

        async def guarded(messages: AsyncIterator[bytes], context: Context) -> Message:
            try:
                request = self._whole(await self._one(messages, context), handler, context)
                answer = await method(request, context)
            except (grpc.aio.AbortError, *_PASSED_ON):
                raise
            except BaseException as error:  # noqa: BLE001 - a panic of a library is no Exception; it gets a clean status
                return await _abort(context, error)
            return answer

        return guarded

    async def _one(self, messages: AsyncIterator[bytes], context: Context) -> bytes:
        """Returns the call's one message; raises InvalidRequest for none or two, and when it does not come in time."""
        try:
            async with asyncio.timeout(self._read_within):
                raw = [message async for message in _first_two(messages)]
        except TimeoutError:
            raise self._refused(context, f"did not come within {self._read_within:g} seconds") from None
        if len(raw) != 1:
            raise self._refused(context, "must be one message")
        return raw[0]

    def _whole(self, raw: bytes, handler: "grpc.RpcMethodHandler[Any, Any]", context: Context) -> Message:
        """Returns the message; refuses one that breaks a rule of its proto or holds what its proto does not define."""
        try:
            request: Message = handler.request_deserializer(raw)  # type: ignore[misc]
        except DecodeError:
            raise self._refused(context, "is not a message of this method") from None
        broken = violations(request)
        if broken:
            self._reject(peer_of(context), Reason.INVALID_REQUEST)
            raise InvalidRequest(broken)
        return request

    def _refused(self, context: Context, rule: str) -> InvalidRequest:
        """Counts the call and returns its failure."""
        self._reject(peer_of(context), Reason.INVALID_REQUEST)
        return InvalidRequest([FieldViolation("the request", rule)])


async def _first_two(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields at most two messages: a caller who sends more has said enough."""
    count = 0
    async for message in messages:
        yield message
        count += 1
        if count > 1:
            return


async def _abort(context: Context, error: BaseException) -> NoReturn:
    """Ends the call with the error's status; the cause goes to the log, never to the caller."""
    told = told_of(error)
    if told is not error:
        _log.error("an unexpected failure was answered as INTERNAL", exc_info=error)
    elif isinstance(told, Outage) and told.__cause__ is not None:
        # NOTE: only outages: a no is on record, and a stranger must not be able to fill the log with it.
        _log.warning("%s: %s", told.reason.value, told.message, exc_info=told.__cause__)
    status = status_of(told)
    await context.abort(code_of(told.reason), status.message, ((DETAILS_KEY, status.SerializeToString()),))


async def _unimplemented(_request: bytes, context: Context) -> bytes:
    """Answers what is not on the list."""
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
