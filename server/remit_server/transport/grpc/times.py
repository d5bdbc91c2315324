"""Times as messages hold them."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write_time(message: Timestamp, time: datetime) -> None:
    """Writes a time as `Timestamp.FromDatetime` does, in a fifth of its steps: an answer holds several."""
    since = time - _EPOCH
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1000
