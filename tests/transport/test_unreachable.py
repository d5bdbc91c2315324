"""Each way of not reaching a gateway is told by its own cause, out of what gRPC really says of it."""

import datetime as dt
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from tests.scripted_gateway import scripted_gateway

from remit.calling.unreachable import Way, is_target, unreachable
from remit.v1 import credential_service_pb2 as messages
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_sandbox.certificates import Authority, KeyPair


def told(target: str, roots: bytes, *, shows: KeyPair | None = None) -> tuple[str, str]:
    """Returns what is told of a call that must not get an answer, and gRPC's own text."""
    pair = (shows.key_path.read_bytes(), shows.certificate_path.read_bytes()) if shows else (None, None)
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(roots, *pair)) as channel:
        ask = CredentialServiceStub(channel).GetCallerIdentity
        call = ask.future(messages.GetCallerIdentityRequest(), timeout=20)
        assert call.code() is grpc.StatusCode.UNAVAILABLE
        way = Way(target, trusts="ca_file ca.pem", shows="certificate_file a.pem" if shows else "")
        return unreachable(call.details(), way).why, call.details()


@contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Yields the port where each connection is handled so."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            handle(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def tls(pair: KeyPair, protocols: tuple[str, ...] = ("h2",)) -> Iterator[int]:
    """Yields the port of a server that shakes hands with this certificate and hangs up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    context.set_alpn_protocols(list(protocols))

    def handle(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.recv(1)
        except OSError:
            return

    with listening(handle) as port:
        yield port


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ours")


def roots(authority: Authority) -> bytes:
    return authority.bundle_path.read_bytes()


def test_a_name_that_nobody_knows_is_told(authority: Authority) -> None:
    why, details = told("gateway.invalid:8443", roots(authority))

    assert why == "nothing is known by the name 'gateway.invalid' (name resolution failed)", details


def test_a_port_where_nothing_listens_is_told(authority: Authority) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        port = bound.getsockname()[1]

        why, details = told(f"127.0.0.1:{port}", roots(authority))

    assert why == f"nothing listens at port {port} there (connection refused)", details


def test_a_certificate_of_another_authority_is_told_with_the_file(authority: Authority, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "theirs")
    with tls(other.issue_server(["127.0.0.1"])) as port:
        why, details = told(f"127.0.0.1:{port}", roots(authority))

    assert why.startswith("ca_file ca.pem does not vouch for its certificate ("), details


def test_a_certificate_for_another_name_is_told_with_the_name(authority: Authority) -> None:
    with tls(authority.issue_server(["gateway.example.com"])) as port:
        why, details = told(f"127.0.0.1:{port}", roots(authority))

    assert why == "its certificate is for another name than '127.0.0.1'", details


def test_a_certificate_that_is_over_is_told(authority: Authority) -> None:
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=400)
    with tls(authority.issue_server(["127.0.0.1"], start=start)) as port:
        why, details = told(f"127.0.0.1:{port}", roots(authority))

    assert why == "its certificate has expired", details


def test_a_port_without_tls_is_told(authority: Authority) -> None:
    with listening(lambda connection: connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as port:
        why, details = told(f"127.0.0.1:{port}", roots(authority))

    assert why == "what listens there does not speak TLS", details


def test_tls_without_grpc_is_told(authority: Authority) -> None:
    with tls(authority.issue_server(["127.0.0.1"]), ("http/1.1",)) as port:
        why, details = told(f"127.0.0.1:{port}", roots(authority))

    assert why == "what listens there speaks TLS, but not gRPC (no HTTP/2 by ALPN)", details


def test_a_client_certificate_that_is_not_taken_is_told_with_its_file(tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "theirs").issue_client("spiffe://remit.test/agent/copilot")
    with scripted_gateway(tmp_path) as server:
        without, details = told(server.mtls, roots(server.authority))
        wrong, details_of_wrong = told(server.mtls, roots(server.authority), shows=stranger)

    assert without == "the other side hung up, as a gateway does that wants a client certificate at this port", details
    assert wrong == "the other side hung up, as a gateway does that does not take certificate_file a.pem", (
        details_of_wrong
    )


def test_what_is_not_known_is_passed_on() -> None:
    assert unreachable("the moon is in the way", Way("g.example:1")).why == "the moon is in the way"
    assert unreachable(None, Way("g.example:1")).why == "no cause was given"


@pytest.mark.parametrize("text", ["https://g.example:8443", "g.example", "g.example:", ":8443", "g.example:84/x"])
def test_what_is_no_host_and_port_is_no_target(text: str) -> None:
    assert not is_target(text)


@pytest.mark.parametrize("text", ["g.example:8443", "127.0.0.1:1", "[::1]:8443"])
def test_host_and_port_are_a_target(text: str) -> None:
    assert is_target(text)
