"""Every method that the gateway serves, by its full name, as the protos say it."""

from collections.abc import Iterator
from typing import Any, Final

from grpc_health.v1 import health_pb2

from remit.v1 import (
    approval_service_pb2,
    audit_service_pb2,
    credential_service_pb2,
    grant_service_pb2,
    policy_service_pb2,
)
from remit_server.domain.errors import Reason
from remit_server.transport.grpc.status import code_of

_FILES: Final[tuple[Any, ...]] = (
    credential_service_pb2,
    grant_service_pb2,
    approval_service_pb2,
    policy_service_pb2,
    audit_service_pb2,
)
_HEALTH: Final = f"/{health_pb2.DESCRIPTOR.services_by_name['Health'].full_name}/Check"


def served_methods() -> Iterator[tuple[str, bool]]:
    """Yields the full name of each method, and whether it answers by a stream."""
    for file in _FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method.server_streaming
    yield _HEALTH, False


def code_names() -> dict[Reason, str]:
    """Returns the name of the gRPC code of each reason."""
    return {reason: code_of(reason).name for reason in Reason}
