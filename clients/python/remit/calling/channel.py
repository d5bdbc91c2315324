"""The one channel to the gateway: always TLS, and following its certificates, so that short-lived ones may rotate."""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc

from remit._version import __version__
from remit.calling.unreachable import Way
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit.workload.spiffe import SpiffeX509

T = TypeVar("T")
MAX_METADATA = 24 * 1024
_OPTIONS = (
    ("grpc.primary_user_agent", f"remit-python/{__version__}"),
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
    # NOTE: how calls are repeated is decided in calls.py, not by whoever answers for the gateway's name in DNS.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A gateway, or a way to it, that is gone without a word is noticed while a task is watched. Not oftener: gateways
    # take more than one ping in 20 seconds for an attack.
    ("grpc.keepalive_time_ms", 25_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """What a connection proves and trusts; without a CA, the roots that come with gRPC.

    The certificate comes from files or, by `svid`, from memory: its key is then never on a disk.
    """

    ca_file: Path | None = None
    root_certificates: bytes | None = field(default=None, repr=False)
    certificate_file: Path | None = None
    key_file: Path | None = None
    svid: SpiffeX509 | None = None

    def stamps(self) -> tuple[tuple[int, int], ...]:
        """Returns when each file was last written, and its size, and the version of what is in memory.

        Raises OSError, and NoWorkloadIdentity once the certificate in memory is over.
        """
        files = {"ca_file": self.ca_file, "certificate_file": self.certificate_file, "key_file": self.key_file}
        found = [_of(file, name, Path.stat) for name, file in files.items() if file is not None]
        versions = () if self.svid is None else ((self.svid.current().version, 0),)
        return (*((stat.st_mtime_ns, stat.st_size) for stat in found), *versions)

    def way(self, target: str) -> Way:
        """Returns how a gateway is called, for who is told that nobody answered."""
        trusts, shows = "", ""
        if self.ca_file is not None or self.root_certificates is not None:
            trusts = f"ca_file {self.ca_file}" if self.ca_file else "root_certificates"
        if self.svid is not None:
            trusts, shows = ("the SVID's bundle" if self.svid.trusts_bundle else trusts), "the SVID"
        elif self.certificate_file is not None:
            shows = f"certificate_file {self.certificate_file}"
        return Way(target, trusts, shows)

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files; raises OSError, and ValueError for what no connection can be made with.

        gRPC itself finds that out at the first call, and tells it to its own log.
        """
        roots = _of(self.ca_file, "ca_file", Path.read_bytes) if self.ca_file else self.root_certificates
        if roots is not None:
            _check_certificates(roots, f"ca_file {self.ca_file}" if self.ca_file else "root_certificates")
        if self.svid is not None:
            return self._from_memory(self.svid, roots)
        if self.certificate_file is None or self.key_file is None:
            return grpc.ssl_channel_credentials(root_certificates=roots)
        chain = _of(self.certificate_file, "certificate_file", Path.read_bytes)
        key = _of(self.key_file, "key_file", Path.read_bytes)
        _check_certificates(chain, f"certificate_file {self.certificate_file}")
        _check_key(self.certificate_file, self.key_file)
        return grpc.ssl_channel_credentials(root_certificates=roots, private_key=key, certificate_chain=chain)

    @staticmethod
    def _from_memory(source: SpiffeX509, roots: bytes | None) -> grpc.ChannelCredentials:
        """Returns the credentials of the certificate as it is now; raises NoWorkloadIdentity."""
        svid = source.current()
        return grpc.ssl_channel_credentials(
            root_certificates=svid.bundle if source.trusts_bundle else roots,
            private_key=svid.key.reveal(),
            certificate_chain=svid.chain,
        )


def _of(file: Path, name: str, look: Callable[[Path], T]) -> T:
    """Returns what a look at a file gives; the OSError of one that fails says which argument names the file."""
    try:
        return look(file)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} (the {name})", str(file)) from None


def _context() -> ssl.SSLContext:
    """Returns a context to try PEM with, that leaves it to gRPC to judge how strong keys must be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _check_certificates(pem: bytes, what: str) -> None:
    """Raises ValueError when this is not a sequence of certificates in PEM."""
    try:
        # Between certificates there may be text, in any encoding.
        _context().load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):
        raise ValueError(f"{what} is not a file of certificates in PEM, or one of them is damaged") from None


def _check_key(certificate_file: Path, key_file: Path) -> None:
    """Raises ValueError for a key that cannot be read or that belongs to another certificate, OSError for no file."""

    def password() -> str:
        raise ValueError(f"key_file {key_file} is encrypted: give the key without a passphrase, in a file of mode 0600")

    try:
        # NOTE: without a function for the passphrase, OpenSSL would ask for it at the terminal.
        _context().load_cert_chain(certificate_file, key_file, password)
    except ssl.SSLError as error:
        if error.reason and "MISMATCH" in error.reason:
            told = f"key_file {key_file} does not belong to certificate_file {certificate_file}"
        else:
            told = f"key_file {key_file} is not a private key in PEM that fits certificate_file {certificate_file}"
        raise ValueError(told) from None


class TlsChannel:
    """Opens a channel, and another one when the files of the first have changed. Safe to share between threads."""

    def __init__(self, target: str, tls: Tls) -> None:
        self.target = target
        self.way = tls.way(target)
        self._tls = tls
        self._lock = threading.Lock()
        self._closed = False
        self._stamps = tls.stamps()
        self._open()

    def stub(self) -> CredentialServiceStub:
        """Returns the stub to call now; raises RuntimeError once closed, NoWorkloadIdentity for no certificate."""
        with self._lock:
            if self._closed:
                raise RuntimeError("this gateway is closed: keep it open for as long as its tasks run")
            self._follow()
            return self._stub

    @property
    def is_closed(self) -> bool:
        """Says whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Ends the connection; calls that are running fail."""
        with self._lock:
            self._closed = True
            self._channel.close()

    def _follow(self) -> None:
        """Opens a new channel when a file has changed.

        While files cannot be read or do not belong together, as in the midst of a rotation, what was before them holds.
        """
        try:
            stamps = self._tls.stamps()
            if stamps != self._stamps:
                # The old channel is not closed: calls that are running keep it until they end.
                self._open()
                self._stamps = stamps
        except (OSError, ValueError):
            return

    def _open(self) -> None:
        """Makes the channel, which connects at the first call; raises OSError and ValueError."""
        self._channel = grpc.secure_channel(self.target, self._tls.credentials(), options=_OPTIONS)
        self._stub = CredentialServiceStub(self._channel)
