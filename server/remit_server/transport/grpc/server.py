"""The gRPC server: TLS listeners, limits, health, and nothing that is not on the list."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from remit_server.application.observing import CallObserver
from remit_server.config.settings import ListenerSettings
from remit_server.transport.grpc.certificates import Certificates
from remit_server.transport.grpc.interceptor import READ_WITHIN, TAKEN_WITHIN, Door, Guard
from remit_server.transport.grpc.streams import STREAM_AGE, Streams
from remit_server.transport.grpc.untaken import note_calls
from remit_server.transport.grpc.uploads import Uploads

MAX_MESSAGE = 64 * 1024
MAX_METADATA = 24 * 1024
STREAMS_PER_CONNECTION = 384  # calls and server streams of one agent
CONNECTIONS = 4096  # at a time, per listener
# Calls that wait to be looked at, some 15 kB each. Past it grpc drops some at random, as CANCELLED, which no client
# takes for "come again": so there is room for what a fleet asks at once, and each is looked at and refused.
LEAST_PENDING = 16_384
LONGEST_PENDING_SECONDS = 120  # likewise; a caller's own deadline is shorter
LOOK_EVERY = timedelta(seconds=2)  # whether certificates have changed
MOVE_OVER = timedelta(seconds=60)  # for calls on connections made under the certificates before
_log = logging.getLogger(__name__)
HEALTH: Any = health_pb2.DESCRIPTOR.services_by_name["Health"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A service of the gateway: how it is added to a server, what answers it, and who lets its callers in.

    `descriptor` is that of its proto. `admit_streams` lets in the callers of its server streams, where they are
    counted apart.
    """

    descriptor: Any
    add: Callable[[Any, Any], None]
    servicer: object
    admit: Door
    admit_streams: Door | None = None

    def doors(self) -> Mapping[str, Door]:
        """Returns who lets callers in, by the full names of its methods."""
        return {
            f"/{self.descriptor.full_name}/{method.name}": self.admit_streams or self.admit
            if method.server_streaming
            else self.admit
            for method in self.descriptor.methods
        }


class GrpcServer:
    """Serves the gateway's services and health on TLS listeners until it is stopped."""

    def __init__(
        self,
        services: Sequence[Offered],
        *,
        concurrent_calls: int,
        streams: int,
        connections: int = CONNECTIONS,
        with_reflection: bool = False,
        read_within: timedelta = READ_WITHIN,
        taken_within: timedelta = TAKEN_WITHIN,
        look_every: timedelta = LOOK_EVERY,
        stream_age: timedelta = STREAM_AGE,
        uploads: Uploads | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        # NOTE: not its Watch, a stream without end: strangers could take every place with it.
        open_methods = {f"/{HEALTH.full_name}/Check"}
        if with_reflection:
            open_methods.add(f"/{reflection.SERVICE_NAME}/ServerReflectionInfo")
        self._streams = Streams(streams, taken_within=taken_within, age=stream_age)
        self._guard = Guard(
            {name: door for service in services for name, door in service.doors().items()},
            calls=concurrent_calls,
            streams=self._streams,
            open_methods=frozenset(open_methods),
            read_within=read_within,
            taken_within=taken_within,
            uploads=uploads,
            observer=observer,
        )
        self._services = tuple(services)
        self._places, self._connections = concurrent_calls + streams, connections
        self._with_reflection = with_reflection
        self._look_every = look_every.total_seconds()
        self._health = health_aio.HealthServicer()
        self._listeners: list[tuple[str, Certificates]] = []
        self._server = self._made()
        self._following: asyncio.Task[None] | None = None
        self._leaving: dict[asyncio.Task[None], grpc.aio.Server] = {}

    def listen(self, listener: ListenerSettings) -> str:
        """Opens one listener and returns its address with the port it got.

        Raises RuntimeError when it cannot, OSError when its certificate cannot be read.
        """
        certificates = Certificates(listener)
        try:
            port = self._server.add_secure_port(listener.address, certificates.credentials())
        except RuntimeError as error:
            why = "something else listens there, it is no address of this machine, or this user may not"
            raise RuntimeError(f"{listener.address} cannot be listened on: {why}") from error
        address = f"{listener.address.rpartition(':')[0]}:{port}"
        self._listeners.append((address, certificates))
        return address

    async def start(self) -> None:
        """Starts to serve and says so to health checks."""
        note_calls(asyncio.get_running_loop())
        await self._server.start()
        for name in ("", *self._names()):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._following = asyncio.create_task(self._follow_certificates())

    async def stop(self, grace: timedelta) -> None:
        """Tells health checks first, ends streams, so that clients go elsewhere, then lets calls end for `grace`."""
        if self._following is not None:
            self._following.cancel()
        await self._health.enter_graceful_shutdown()
        self._streams.end_all(stops=True)
        serving = (self._server, *self._leaving.values())
        await asyncio.gather(*(server.stop(grace.total_seconds()) for server in serving))

    def _made(self) -> grpc.aio.Server:
        """Returns a server of the services that listens nowhere yet."""
        server = grpc.aio.server(
            interceptors=[self._guard],
            maximum_concurrent_rpcs=self._places,
            options=_options(self._places, self._connections),
        )
        for service in self._services:
            service.add(service.servicer, _ByName(server))
        by_name: Any = _ByName(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, by_name)
        if self._with_reflection:
            names = (*self._names(), HEALTH.full_name, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        return server

    def _names(self) -> list[str]:
        """Returns the full names of the gateway's own services."""
        return [str(service.descriptor.full_name) for service in self._services]

    async def _follow_certificates(self) -> None:
        """Serves with new certificates soon after their files have changed."""
        told = ""
        while True:
            await asyncio.sleep(self._look_every)
            if not any(certificates.are_stale for _, certificates in self._listeners):
                continue
            try:
                await self._turn_over()
                told = ""
            except Exception as error:  # noqa: BLE001 - half done, so far: the next look may find it whole
                for _, certificates in self._listeners:
                    certificates.forget()
                if str(error) != told:  # once, and not at every look
                    told = str(error)
                    _log.warning("certificates have changed and cannot be used yet: %s", told)

    async def _turn_over(self) -> None:
        """Serves the same ports by another server, with what the files hold now; connections move over when they can.

        Raises OSError or RuntimeError; what is served stays as it was.
        """
        found = await asyncio.to_thread(lambda: [(address, each.credentials()) for address, each in self._listeners])
        server = self._made()
        for address, credentials in found:
            server.add_secure_port(address, credentials)
        await server.start()
        before, self._server = self._server, server
        leaving = asyncio.create_task(before.stop(MOVE_OVER.total_seconds()))
        self._leaving[leaving] = before
        leaving.add_done_callback(self._leaving.pop)
        self._streams.end_all(stops=False)  # they are opened again, by then on connections of the new server
        _log.info("serving with new certificates")

    async def wait(self) -> None:
        """Returns when the server has stopped."""
        await self._server.wait_for_termination()


class _ByName:
    """A server to which services are added by the names of their methods alone.

    NOTE: a method that is registered besides has a future of its own in the library's loop (grpcio 1.85), which waits
    for all of them anew at each call: with twenty methods that is a tenth of what a preview costs.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Registers nothing."""


def _options(places: int, connections: int) -> Sequence[tuple[str, int]]:
    """Returns the channel arguments, each set on purpose: overload is RESOURCE_EXHAUSTED, never a silent cancel.

    Ports are shared (SO_REUSEPORT), with workers and with the server that follows when certificates change: whoever
    serves holds them first (cli/workers/ports.py), so that nobody else does.
    """
    pending = max(places * 2, LEAST_PENDING)
    return [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
        ("grpc.server.max_pending_requests", pending),
        ("grpc.server.max_pending_requests_hard_limit", pending + pending // 4),
        ("grpc.server_max_unrequested_time_in_server", LONGEST_PENDING_SECONDS),
        # Counted from the first packet on, per listener; one more is closed as it comes, and costs no file for long.
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.http2.max_ping_strikes", 3),
        # NOTE: the handshake checks a client certificate's authority only once, so no connection lives for ever.
        ("grpc.max_connection_age_ms", 600_000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        # So long after a caller has gone without a word its streams end, and its tasks' leases begin to run.
        ("grpc.keepalive_time_ms", 15_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),  # a minute unless said: that is how long a silent ping counts as alive
        ("grpc.so_reuseport", 1),
    ]
