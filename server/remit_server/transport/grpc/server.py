"""The gRPC server: TLS listeners, limits, health, and nothing that is not on the list."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from remit.v1 import credential_service_pb2
from remit.v1.credential_service_pb2_grpc import add_CredentialServiceServicer_to_server
from remit_server.config.settings import ListenerSettings
from remit_server.transport.grpc.credential_service import CredentialService
from remit_server.transport.grpc.interceptor import READ_WITHIN, TAKEN_WITHIN, Guard
from remit_server.transport.grpc.untaken import note_calls

MAX_MESSAGE = 64 * 1024
MAX_METADATA = 24 * 1024
STREAMS_PER_CONNECTION = 128
LEAST_PENDING = 1024  # calls that wait to be looked at; past it grpc drops some at random, as CANCELLED
SERVICE: Any = credential_service_pb2.DESCRIPTOR.services_by_name["CredentialService"]
HEALTH: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]


class GrpcServer:
    """Serves CredentialService and health on TLS listeners until it is stopped."""

    def __init__(
        self,
        service: CredentialService,
        *,
        concurrent_calls: int,
        with_reflection: bool = False,
        share_ports: bool = False,
        read_within: timedelta = READ_WITHIN,
        taken_within: timedelta = TAKEN_WITHIN,
    ) -> None:
        methods = frozenset(f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods)
        # NOTE: not its Watch, a stream without end: strangers could take every place with it.
        open_methods = {f"/{HEALTH.full_name}/Check"}
        if with_reflection:
            open_methods.add(f"/{reflection.SERVICE_NAME}/ServerReflectionInfo")
        guard = Guard(
            service.admit,
            methods=methods,
            open_methods=frozenset(open_methods),
            read_within=read_within,
            taken_within=taken_within,
        )
        self._health = health_aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[guard],
            maximum_concurrent_rpcs=concurrent_calls,
            options=_options(concurrent_calls, share_ports=share_ports),
        )
        add_CredentialServiceServicer_to_server(service, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            names = (SERVICE.full_name, HEALTH.full_name, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    def listen(self, listener: ListenerSettings) -> str:
        """Opens one listener and returns its address with the port it got; raises RuntimeError when it cannot."""
        try:
            port = self._server.add_secure_port(listener.address, _credentials(listener))
        except RuntimeError as error:
            why = "something else listens there, it is no address of this machine, or this user may not"
            raise RuntimeError(f"{listener.address} cannot be listened on: {why}") from error
        return f"{listener.address.rpartition(':')[0]}:{port}"

    async def start(self) -> None:
        """Starts to serve and says so to health checks."""
        note_calls(asyncio.get_running_loop())
        await self._server.start()
        for name in ("", SERVICE.full_name):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: timedelta) -> None:
        """Tells health checks first, then lets running calls end for `grace`."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace.total_seconds())

    async def wait(self) -> None:
        """Returns when the server has stopped."""
        await self._server.wait_for_termination()


def _options(concurrent_calls: int, *, share_ports: bool) -> Sequence[tuple[str, int]]:
    """Returns the channel arguments, each set on purpose: overload is RESOURCE_EXHAUSTED, never a silent cancel.

    `share_ports` lets other processes of this user listen too: only where the ports are held for workers.
    """
    pending = max(concurrent_calls * 2, LEAST_PENDING)
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
        ("grpc.server.max_pending_requests", pending),
        ("grpc.server.max_pending_requests_hard_limit", pending * 2),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.http2.max_ping_strikes", 3),
        # NOTE: the handshake checks a client certificate's authority only once, so no connection lives for ever.
        ("grpc.max_connection_age_ms", 600_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.so_reuseport", int(share_ports)),
    ]


def _credentials(listener: ListenerSettings) -> grpc.ServerCredentials:
    """Returns TLS credentials that follow their files: certificates are rotated without a restart."""
    source = _Certificates(listener)
    return grpc.dynamic_ssl_server_credentials(
        source.current(), source.current, require_client_authentication=listener.client_ca_file is not None
    )


class _Certificates:
    """Reads a listener's certificate, key and client CA, and notices when one of the files changes."""

    def __init__(self, listener: ListenerSettings) -> None:
        self._listener = listener
        self._seen: tuple[int, ...] = ()
        self._loaded = self.load()

    def load(self) -> grpc.ServerCertificateConfiguration:
        """Reads the files; raises OSError."""
        listener = self._listener
        self._seen = self._stamps()
        roots = listener.client_ca_file.read_bytes() if listener.client_ca_file else None
        pair = (listener.key_file.read_bytes(), listener.certificate_file.read_bytes())
        self._loaded = grpc.ssl_server_certificate_configuration([pair], roots)
        return self._loaded

    def current(self) -> grpc.ServerCertificateConfiguration:
        """Returns the files' content; while a rotation is half done, what was there before it."""
        try:
            return self._loaded if self._stamps() == self._seen else self.load()
        except OSError:
            return self._loaded

    def _stamps(self) -> tuple[int, ...]:
        """Returns when each file was last written."""
        files: list[Path | None] = [
            self._listener.certificate_file,
            self._listener.key_file,
            self._listener.client_ca_file,
        ]
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)
