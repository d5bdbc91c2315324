"""A collector of ours on loopback: takes traces by OTLP over HTTP, decodes them, and refuses when a test says so."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class OtlpReceiver:
    """What was sent so far: `bodies` as they came, `shown` their Authorization; `status` is what is answered."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def spans(self) -> list[Any]:
        """Every span that was taken."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resources(self) -> list[Mapping[str, Any]]:
        """What each batch says of who sends."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [attributes_of(resource.resource) for request in requests for resource in request.resource_spans]

    def wait_for(self, what: Any) -> None:
        """Returns once what came so far is enough for the test."""
        with self._came:
            assert self._came.wait_for(what, timeout=60), "it never came"

    def took(self, path: str, body: bytes, shown: str) -> int:
        """Notes a request and returns how it is answered."""
        with self._came:
            self.shown.append(shown)
            if self.status == 200 and path == "/v1/traces":
                self.bodies.append(body)
            self._came.notify_all()
            return self.status if path == "/v1/traces" else 404


def attributes_of(described: Any) -> dict[str, Any]:
    """Returns the attributes of a span or a resource."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in described.attributes}


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Runs a collector until the end of the block."""
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.took(self.path, body, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
