"""The one interceptor: an allow-list of methods, a whole message or none, and every failure as a clean status."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import Message

from remit_server.domain.errors import InvalidRequest, Outage, Reason, RemitError
from remit_server.transport.grpc.caller import peer_of
from remit_server.transport.grpc.status import DETAILS_KEY, code_of, status_of
from remit_server.transport.grpc.validation import violations

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_log = logging.getLogger(__name__)


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every method. `reject` counts a caller who failed before anybody knew who it was."""

    def __init__(self, methods: frozenset[str], reject: Callable[[str, Reason], None]) -> None:
        self._methods = methods
        self._reject = reject

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
            # Health's Watch and reflection are streams of the library's own; they take no message of ours.
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._guarded(handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guarded(self, method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Wraps a method: validates its message and answers its failures."""

        async def guarded(request: Message, context: Context) -> Message:
            try:
                self._whole(request, context)
                answer: Message = await method(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a clean status
                return await _abort(context, error)
            return answer

        return guarded

    def _whole(self, request: Message, context: Context) -> None:
        """Refuses a message that breaks a rule of its proto or holds what its proto does not define."""
        broken = violations(request)
        if broken:
            self._reject(peer_of(context), Reason.INVALID_REQUEST)
            raise InvalidRequest(broken)


async def _abort(context: Context, error: Exception) -> NoReturn:
    """Ends the call with the error's status; the cause goes to the log, never to the caller."""
    match error:
        case RemitError():
            told = error
            if error.__cause__ is not None:
                _log.warning("%s: %s", error.reason.value, error.message, exc_info=error.__cause__)
        case _:
            told = Outage(Reason.INTERNAL, "internal error")
            _log.error("an unexpected failure was answered as INTERNAL", exc_info=error)
    details = ((DETAILS_KEY, status_of(told).SerializeToString()),)
    await context.abort(code_of(told.reason), told.message, details)


async def _unimplemented(_request: bytes, context: Context) -> bytes:
    """Answers what is not on the list."""
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
