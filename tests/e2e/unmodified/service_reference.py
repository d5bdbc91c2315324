"""Stands where AWS's list of services is on the internet: the API MCP server fetches it, or does not start.

It exists because the list is not part of the local AWS, and nothing outside this machine is asked by a test. The server
is led here by HTTPS_PROXY and a certificate of the sandbox's authority; it is answered with an empty list, so that it
takes for reading only what it knows by itself.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Protocol

from remit_sandbox.certificates import Authority

NAME = "servicereference.us-east-1.amazonaws.com"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"


class _Lines(Protocol):
    """What a request is read from."""

    def readline(self, size: int, /) -> bytes:
        """Returns a line of so many bytes at most."""
        ...


@contextmanager
def service_reference(authority: Authority) -> Iterator[dict[str, str]]:
    """Gives the variables by which a Python program is led here."""
    pair = authority.issue_server([NAME])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate_path, pair.key_path)

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            _headers(self.rfile)
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with context.wrap_socket(self.connection, server_side=True) as tls, tls.makefile("rb") as lines:
                _headers(lines)
                tls.sendall(_ANSWER)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            yield {"HTTPS_PROXY": url, "REQUESTS_CA_BUNDLE": str(authority.bundle_path)}
        finally:
            server.shutdown()
            thread.join()


def _headers(lines: _Lines) -> None:
    """Reads a request up to its empty line."""
    while lines.readline(8192).strip():
        pass
