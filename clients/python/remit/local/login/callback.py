"""The loopback redirect (RFC 8252, 7.3): takes one browser's way back from the issuer, and nothing else."""

import hmac
import queue
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from remit.local.login.failures import expired, failed

HOST = "127.0.0.1"
PATH = "/callback"
_LONGEST_TARGET = 8192
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}
_PAGE = "<!doctype html><title>remit</title><p>{}</p>"


class CallbackServer:
    """Listens on loopback while its `with` block lasts; `redirect_uri` is where the issuer sends the browser."""

    def __init__(self, state: str, *, port: int = 0) -> None:
        self._found: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
        try:
            self._server = _Server((HOST, port), state, self._found)
        except OSError as error:
            raise failed(
                f"nothing can listen on {HOST}:{port} for the browser's way back: {error.strerror}",
                advice="give another --port, or sign in with `remit login --device`",
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="remit-callback", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def redirect_uri(self) -> str:
        """The URI to which the issuer redirects."""
        return f"http://{HOST}:{self._server.server_address[1]}{PATH}"

    def wait(self, seconds: float) -> Mapping[str, str]:
        """Returns the parameters of the redirect that carries our state; raises LoginNeeded when none comes in time.

        Requests without it are answered with an error and otherwise ignored: any page may send a browser here.
        """
        try:
            return self._found.get(timeout=seconds)
        except queue.Empty:
            raise expired("the browser did not come back in time") from None


class _Server(ThreadingHTTPServer):
    """A thread for each request, so that one that dawdles holds up no other; `found` gets redirects that are ours."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], state: str, found: "queue.SimpleQueue[Mapping[str, str]]") -> None:
        super().__init__(address, _Handler)
        self.state = state
        self.found = found

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a browser that goes away is no news, and a traceback may hold the code."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET at the one path."""

    server: _Server
    timeout = 5  # seconds
    server_version = "remit"
    sys_version = ""

    def do_GET(self) -> None:
        """Takes the redirect, if it is ours."""
        found = self._redirect()
        if found is None:
            self._answer(400, "This is not the sign-in that remit waits for.")
            return
        self._answer(200, "You may close this window and go back to remit.")
        self.server.found.put(found)

    def log_message(self, *_: object) -> None:
        """Says nothing: the target holds the code."""

    def _redirect(self) -> Mapping[str, str] | None:
        """Returns the parameters of the redirect; None for another path, a double parameter or another state."""
        if len(self.path) > _LONGEST_TARGET:
            return None
        parts = urlsplit(self.path)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=20)
        parameters = dict(pairs)
        is_ours = (
            parts.path == PATH
            and len(parameters) == len(pairs)
            and hmac.compare_digest(parameters.get("state", "").encode(), self.server.state.encode())
        )
        return parameters if is_ours else None

    def _answer(self, status: int, text: str) -> None:
        content = _PAGE.format(text).encode()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
