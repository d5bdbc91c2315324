"""A listener's certificate, key and client authorities, and whether their files have changed."""

import ssl

import grpc

from remit_server.config.settings import ListenerSettings
from remit_server.config.stamps import stamps_of


class Certificates:
    """Reads the files of one listener; `are_stale` says when they are not what was read last."""

    def __init__(self, listener: ListenerSettings) -> None:
        self._listener = listener
        self._seen: tuple[tuple[int, int], ...] = ()

    @property
    def are_stale(self) -> bool:
        """Says whether a file was written since; also while one is missing, as in the middle of a rotation."""
        try:
            return self._stamps() != self._seen
        except OSError:
            return True

    def credentials(self) -> grpc.ServerCredentials:
        """Returns what the files hold; raises OSError while a rotation is half done: a file is missing or does not fit.

        NOTE: not gRPC's dynamic credentials, which follow the files by themselves: they corrupt memory when many
        connections end in the middle of their handshake (grpcio 1.85; a test with 200 of them crashed the process).
        """
        listener, stamps = self._listener, self._stamps()
        # ssl.SSLError, an OSError, for a key that is not the certificate's.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listener.certificate_file, listener.key_file)
        pair = (listener.key_file.read_bytes(), listener.certificate_file.read_bytes())
        roots = listener.client_ca_file.read_bytes() if listener.client_ca_file else None
        self._seen = stamps
        return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)

    def forget(self) -> None:
        """Has what was read last count as stale: it is not served."""
        self._seen = ()

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        """Returns when each file was last written; raises OSError."""
        listener = self._listener
        files = (listener.certificate_file, listener.key_file, listener.client_ca_file)
        return stamps_of(file for file in files if file is not None)
