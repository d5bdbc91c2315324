"""Reads messages off a call: within a time, whole, and nothing that their proto does not define."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.transport.grpc.validation import violations

AnyHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


async def one_message(messages: AsyncIterator[bytes], seconds: float) -> bytes:
    """Returns the call's one message; raises InvalidRequest for none or two, and when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            message = await anext(messages, None)
            # A caller who sends more has said enough.
            is_one = message is not None and await anext(messages, None) is None
    except TimeoutError:
        raise malformed(f"did not come within {seconds:g} seconds") from None
    if message is None or not is_one:
        raise malformed("must be one message")
    return message


def whole(raw: bytes, handler: AnyHandler) -> Message:
    """Returns the message; refuses one that breaks a rule of its proto or holds what its proto does not define."""
    try:
        request: Message = handler.request_deserializer(raw)  # type: ignore[misc]
    except DecodeError:
        raise malformed("is not a message of this method") from None
    if broken := violations(request):
        raise InvalidRequest(broken)
    return request


def malformed(rule: str) -> InvalidRequest:
    """Returns the failure of a call that cannot be read at all."""
    return InvalidRequest([FieldViolation("the request", rule)])
