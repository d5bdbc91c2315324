"""The container credential endpoint: loopback HTTP that every AWS SDK reads credentials from, renewed or refused."""

import hmac
import json
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from remit.errors import RateLimited, RemitError, Unavailable
from remit.grant import Credentials
from remit.local.formats import container_json
from remit.local.telling import in_one_line, told
from remit.secret import Secret

HOST = "127.0.0.1"
PATH = "/credentials"
TASK_PATH = "/task"
MOST_AT_ONCE = 64
SECONDS = 5.0  # for a request to arrive, and for its answer to be taken


class ContainerEndpoint:
    """Gives one task's credentials to whoever shows the token of `environment`; close it, or use `with`.

    It listens on loopback only, and answers only requests that are addressed to it there (`Host`), so that no page in a
    browser can reach it by a name of its own. What `credentials` raises is told with its reason and what to do. `task`
    says which task it is and what it may do, for `remit explain` within the command.
    """

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        task: Callable[[], dict[str, object]] | None = None,
        *,
        port: int = 0,
    ) -> None:
        """Listens on a free port unless one is given; raises OSError where it is taken."""
        self._token = Secret(secrets.token_urlsafe(32))
        self._server = _Server((HOST, port), _Handler)
        self._server.answering = _Answering(credentials, task, self._token, self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="remit-container", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """The address at which it gives credentials."""
        return f"http://{HOST}:{self._server.server_address[1]}{PATH}"

    @property
    def token(self) -> Secret[str]:
        """What whoever asks has to show."""
        return self._token

    def environment(self) -> dict[str, str]:
        """Returns the variables by which AWS SDKs find it."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.address,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token.reveal(),
        }

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Answering:
    """Decides about one request after the other."""

    def __init__(
        self,
        credentials: Callable[[], Credentials],
        task: Callable[[], dict[str, object]] | None,
        token: Secret[str],
        port: int,
    ) -> None:
        self._credentials = credentials
        self._task = task
        self._token = token
        self._hosts = frozenset({f"{HOST}:{port}", f"localhost:{port}"})

    def answer(self, path: str, hosts: list[str], authorizations: list[str]) -> tuple[int, dict[str, object]]:
        """Returns the status and the body."""
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 403, _refused("WRONG_HOST", "this endpoint answers on loopback only")
        if not self._is_authorized(authorizations):
            return 401, _refused("NOT_AUTHORIZED", "the value of AWS_CONTAINER_AUTHORIZATION_TOKEN is needed")
        if path == TASK_PATH and self._task is not None:
            return 200, self._task()
        return self._given(path)

    def _given(self, path: str) -> tuple[int, dict[str, object]]:
        """Returns the credentials, or why there are none."""
        if path != PATH:
            return 404, _refused("NOT_FOUND", f"credentials are at {PATH}")
        try:
            return 200, container_json(self._credentials())
        except RemitError as error:
            return _status(error), _refused(error.reason, in_one_line(told(error)))
        except Exception as error:  # noqa: BLE001 - told by its type only
            return 500, _refused("INTERNAL", told(error))

    def _is_authorized(self, authorizations: list[str]) -> bool:
        """Says whether the one authorization value is the token, in a time that tells nothing of it."""
        if len(authorizations) != 1:
            return False
        return hmac.compare_digest(authorizations[0].encode(errors="replace"), self._token.reveal().encode())


class _Server(ThreadingHTTPServer):
    """A thread for each request, so many at once and no more."""

    daemon_threads = True
    request_queue_size = 128
    answering: _Answering

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Waits for room before a thread is started: the others wait in the socket's queue."""
        self._room.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Makes room again after the request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, *_: Any) -> None:
        """Keeps quiet: a tool that went away needs no answer, and standard error is the command's own."""


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and writes its answer; every connection is for one."""

    server: _Server
    timeout = SECONDS
    server_version = "remit"
    sys_version = ""

    def do_GET(self) -> None:
        """Answers."""
        hosts, authorizations = (self.headers.get_all(name) or [] for name in ("Host", "Authorization"))
        status, body = self.server.answering.answer(self.path, hosts, authorizations)
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Writes nothing: standard error is the command's own."""


def _status(error: RemitError) -> int:
    """Returns 503 and 429 for what may be asked again, 403 for the rest."""
    if isinstance(error, RateLimited):
        return 429
    return 503 if isinstance(error, Unavailable) else 403


def _refused(reason: str, message: str) -> dict[str, object]:
    """Returns the body of a no. SDKs that tell it read `Code` and `Message`, whatever their case."""
    return {"Code": reason, "Message": message}
