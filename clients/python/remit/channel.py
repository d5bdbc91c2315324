"""The one channel to the gateway: always TLS, and following its files, so that short-lived certificates may rotate."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from remit._version import __version__
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub

MAX_METADATA = 24 * 1024
_OPTIONS = (
    ("grpc.primary_user_agent", f"remit-python/{__version__}"),
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
    # NOTE: how calls are repeated is decided in calls.py, not by whoever answers for the gateway's name in DNS.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """What a connection proves and trusts; without a CA, the roots that come with gRPC."""

    ca_file: Path | None = None
    root_certificates: bytes | None = field(default=None, repr=False)
    certificate_file: Path | None = None
    key_file: Path | None = None

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """Returns when each file was last written, and its size; raises OSError."""
        files = (self.ca_file, self.certificate_file, self.key_file)
        found = [file.stat() for file in files if file is not None]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in found)

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files; raises OSError."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca_file.read_bytes() if self.ca_file else self.root_certificates,
            private_key=self.key_file.read_bytes() if self.key_file else None,
            certificate_chain=self.certificate_file.read_bytes() if self.certificate_file else None,
        )


class TlsChannel:
    """Opens a channel, and another one when the files of the first have changed. Safe to share between threads."""

    def __init__(self, target: str, tls: Tls) -> None:
        self.target = target
        self._tls = tls
        self._lock = threading.Lock()
        self._closed = False
        self._stamps = tls.stamps()
        self._open()

    def stub(self) -> CredentialServiceStub:
        """Returns the stub to call now; raises RuntimeError once closed."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this gateway is closed: keep it open for as long as its tasks run")
            self._follow()
            return self._stub

    def close(self) -> None:
        """Ends the connection; calls that are running fail."""
        with self._lock:
            self._closed = True
            self._channel.close()

    def _follow(self) -> None:
        """Opens a new channel when a file has changed; while files cannot be read, what was there before them holds."""
        try:
            stamps = self._tls.stamps()
            if stamps != self._stamps:
                # The old channel is not closed: calls that are running keep it until they end.
                self._open()
                self._stamps = stamps
        except OSError:
            return

    def _open(self) -> None:
        """Makes the channel, which connects at the first call; raises OSError."""
        self._channel = grpc.secure_channel(self.target, self._tls.credentials(), options=_OPTIONS)
        self._stub = CredentialServiceStub(self._channel)
