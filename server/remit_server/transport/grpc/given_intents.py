"""An intent that was written as JSON and not sent: held to the very rules that the API holds it to."""

import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.json_format import ParseDict

from remit.v1 import types_pb2
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.task import TaskIntent
from remit_server.transport.grpc.mapping import task_intent
from remit_server.transport.grpc.validation import violations

_ROOT: Final = re.compile(r"^intent\.?")


def given_intent(plain: Mapping[str, Any]) -> TaskIntent:
    """Returns the intent that these members, of the right names and types, make; raises InvalidRequest."""
    message = intent_message_of(plain)
    if broken := violations(message):
        raise InvalidRequest(broken)
    try:
        return task_intent(message)
    except InvalidRequest as wrong:
        raise InvalidRequest([FieldViolation(_ROOT.sub("", it.path), it.rule) for it in wrong.violations]) from None


def intent_message_of(plain: Mapping[str, Any]) -> types_pb2.TaskIntent:
    """Returns these members, of the right names and types, as the API's message."""
    return ParseDict(dict(plain), types_pb2.TaskIntent())
