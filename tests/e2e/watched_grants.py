"""The streams of grants and of records, as the commands' own client reads them."""

from itertools import islice

from remit_sandbox.sandbox import Sandbox
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.operator_calls import watch_events, watch_grants
from remit_server.transport.grpc.operator_client import Connection, OperatorClient


def first_grant_of(sandbox: Sandbox, token: str) -> str:
    """Returns the name of the first grant that is told of."""
    with OperatorClient(_connection(sandbox, token)) as client:
        return next(watch_grants(client, "state = ISSUED")).name


def first_records(sandbox: Sandbox, token: str, count: int) -> list[int]:
    """Returns the places of the first records of the trail."""
    with OperatorClient(_connection(sandbox, token)) as client:
        return [event.sequence for event in islice(watch_events(client, 1), count)]


def _connection(sandbox: Sandbox, token: str) -> Connection:
    return Connection(sandbox.bearer, sandbox.authority.bundle_path, token=lambda: Secret(token))
