"""Stands between a gateway and the local AWS's STS, so that a test can hold an answer back, lose it, or count calls.

It exists because ministack cannot be told to be slow or to lose an answer; what it answers is passed on as it is.
It also writes every call into the log of invariant I3, with the ceiling that the sample account gives the role.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from tests.sts_log import LOG, Ceiling

from remit_sandbox.sample_account import role_policies

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_PATIENCE = 60.0


class StsRelay:
    """Passes calls on; `hold_after`, `lose_answers` and `garble` say what happens to them meanwhile."""

    def __init__(self, endpoint_url: str) -> None:
        self.url = ""
        self.session_names: list[str] = []
        self.policies: list[str] = []
        self.answers: list[bytes] = []
        self.ceiling: Ceiling | None = None  # where a test's gateway has another than the sample account's
        self.lose_answers = False
        self.garble: Callable[[bytes], tuple[int, bytes]] | None = None
        self._upstream = urlsplit(endpoint_url).netloc
        self._changed = threading.Condition()
        self._let_through: int | None = None
        self._held: set[str] = set()

    def hold_after(self, count: int) -> None:
        """Lets so many more calls through and holds those after them before they reach STS."""
        with self._changed:
            self._let_through, self._held = count, set()

    def wait_until_held(self, count: int) -> None:
        """Returns once the calls for so many sessions are held; a repeat of one counts once."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._held) >= count, timeout=_PATIENCE)

    def release(self) -> None:
        """Lets every call through again, those that are held too."""
        with self._changed:
            self._let_through = None
            self._changed.notify_all()

    def passed_on(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Asks STS and returns what it answers."""
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if "RoleArn" not in form:
            return self._asked(path, headers, body)  # who are these keys, a command asks
        LOG.note(form, outcome="passed on", ceiling=self.ceiling or ceiling_of(form.get("RoleArn", "")))
        asked = parse_qs(body.decode())
        self.policies.append(asked["Policy"][0])
        self._note(asked["RoleSessionName"][0])
        status, kept, content = self._asked(path, headers, body)
        self.answers.append(content)
        if self.garble is not None:
            status, content = self.garble(content)
            return status, [("Content-Type", "text/xml")], content
        return status, kept, content

    def _asked(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Asks the upstream, once."""
        connection = http.client.HTTPConnection(self._upstream, timeout=_PATIENCE)
        try:
            connection.request("POST", path, body, headers)  # the signed Host goes along
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in _HOP], content

    def _note(self, session_name: str) -> None:
        """Notes a call, and holds it when it is to be held."""
        with self._changed:
            self.session_names.append(session_name)
            if self._let_through is None or self._let_through > 0:
                self._let_through = None if self._let_through is None else self._let_through - 1
                return
            self._held.add(session_name)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._let_through is None, timeout=_PATIENCE)


def ceiling_of(role_arn: str) -> Ceiling | None:
    """Returns what the sample account's own policy lets the role be used for, None for a role it does not have."""
    policy = role_policies().get(role_arn.rsplit("/", 1)[-1])
    return None if policy is None else Ceiling(policy)


@contextmanager
def sts_relay(endpoint_url: str) -> Iterator[StsRelay]:
    """Runs a relay on a free port of loopback."""
    relay = StsRelay(endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = relay.passed_on(self.path, dict(self.headers.items()), body)
            if relay.lose_answers:
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Keeps calls out of the test's output."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *_: Any) -> None:
            """Keeps quiet: a gateway that is killed in the middle leaves broken connections behind."""

    with Server(("127.0.0.1", 0), Handler) as server:
        relay.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield relay
        finally:
            relay.release()
            server.shutdown()
            thread.join()
