"""The stream of grants, as the command's own client reads it."""

from remit_sandbox.sandbox import Sandbox
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.operator_calls import watch_grants
from remit_server.transport.grpc.operator_client import Connection, OperatorClient


def first_grant_of(sandbox: Sandbox, token: str) -> str:
    """Returns the name of the first grant that is told of."""
    connection = Connection(sandbox.bearer, sandbox.authority.bundle_path, token=lambda: Secret(token))
    with OperatorClient(connection) as client:
        return next(watch_grants(client, "state = ISSUED")).name
