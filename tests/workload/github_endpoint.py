"""GitHub's token endpoint on loopback, as docs.github.com documents it: it exists because the real one is GitHub's."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.workload.tokens import jwt

REQUEST_TOKEN = "request-token-canary"


@dataclass
class Endpoint:
    """What it was asked, and what it answers; without an answer planned, a new token for the audience asked for."""

    url: str = ""
    planned: deque[tuple[int, bytes, dict[str, str]]] = field(default_factory=deque)
    audiences: list[str] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    waits_for: threading.Event | None = None

    def answer(self, path: str, authorization: str) -> tuple[int, bytes, dict[str, str]]:
        """Answers one request."""
        self.asked.append(path)
        if self.waits_for is not None:
            self.waits_for.wait(30)
        if self.planned:
            return self.planned.popleft()
        query = parse_qs(urlsplit(path).query)
        if authorization != f"bearer {REQUEST_TOKEN}" or query.get("api-version") != ["2.0"]:
            return 401, b"{}", {}
        self.audiences += query["audience"]
        self.issued.append(jwt(aud=query["audience"][0], jti=str(len(self.issued))))
        body = json.dumps({"count": 1, "value": self.issued[-1]}).encode()
        return 200, body, {"Content-Type": "application/json; charset=utf-8; api-version=2.0"}


@contextmanager
def github_endpoint() -> Iterator[Endpoint]:
    """Serves it until the block is left."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, headers = endpoint.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}/token/1?api-version=2.0"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
