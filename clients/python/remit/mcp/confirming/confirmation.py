"""The page server: one ticket for each approval, one fresh login for each ticket, one decision for each login."""

import secrets
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

from remit.errors import RemitError
from remit.local.login_settings import LoginSettings
from remit.mcp.confirming import pages
from remit.mcp.confirming.approvals import Approvals, ShownApproval
from remit.mcp.confirming.sign_in import FreshLogin, begin, finish
from remit.secret import Secret

T = TypeVar("T")
HOST: Final = "127.0.0.1"
CALLBACK: Final = "/callback"
DECIDE: Final = "/decide"
LASTS_SECONDS: Final = 600.0
MOST: Final = 64
LARGEST_FORM: Final = 4096
LONGEST_TARGET: Final = 8192


class Bounded(Generic[T]):
    """Values by unguessable names, for ten minutes, at most 64. Safe to share between threads."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: str, value: T) -> str:
        """Keeps a value under a name, which is returned."""
        with self._lock:
            self._values[name] = (time.monotonic() + LASTS_SECONDS, value)
            while len(self._values) > MOST:
                self._values.popitem(last=False)
        return name

    def find(self, name: str) -> T | None:
        """Returns a value that is still kept."""
        with self._lock:
            until, value = self._values.get(name, (0.0, None))
            return value if time.monotonic() < until else None

    def take(self, name: str) -> T | None:
        """Returns a value, once, whoever else asks for it."""
        with self._lock:
            until, value = self._values.pop(name, (0.0, None))
            return value if time.monotonic() < until else None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A browser that came back from a fresh login: what it was shown, and the token with which it may decide."""

    ticket: str
    shown: ShownApproval
    token: Secret[str]


class Confirmation:
    """Serves the pages on loopback until closed. `login` is the sign-in of the gateway's operators.

    NOTE: what stands for the browser that signed in is in the page that it is shown, and good for one decision. It is
    no cookie: browsers send those to every port of a host, so to whatever an agent listens at on this machine.

    NOTE: the token of the login stays in this process's memory for ten minutes at most and goes nowhere but to the
    gateway. It is never given to an agent, and no agent's token could decide: the gateway wants this one's audience.
    """

    def __init__(self, approvals: Approvals, login: LoginSettings, *, port: int = 0) -> None:
        self.approvals = approvals
        self.login = login
        self.tickets: Bounded[str] = Bounded()
        self.logins: Bounded[tuple[str, FreshLogin]] = Bounded()
        self.sessions: Bounded[SignedIn] = Bounded()
        self._server = _Server((HOST, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="remit-confirmation", daemon=True)
        self._thread.start()

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def url(self, approval: str) -> str:
        """Returns the address of the page for an approval, good for ten minutes."""
        return f"{self.origin}/confirm/{self.tickets.add(secrets.token_urlsafe(24), approval)}"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], confirmation: Confirmation) -> None:
        super().__init__(address, _Handler)
        self.confirmation = confirmation

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a browser that goes away is no news, and a traceback may hold a code."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one browser."""

    server: _Server
    timeout = 10
    server_version = "remit"
    sys_version = ""

    def do_GET(self) -> None:
        """Sends to the login, takes the way back from it, or asks."""
        self._answered(self._get)

    def do_POST(self) -> None:
        """Takes the decision."""
        self._answered(self._post)

    def log_message(self, *_: object) -> None:
        """Says nothing: the target holds the code."""

    def _answered(self, answer: Any) -> None:
        """Answers, whatever happens, and only whoever asks for this very origin."""
        host, origin = self.headers.get("Host"), self.server.confirmation.origin
        if f"http://{host}" != origin or len(self.path) > LONGEST_TARGET:
            self._say(400, "This page is not here", "Open the address that the copilot showed.")
            return
        try:
            answer()
        except RemitError as error:
            self._say(403, "Nothing was decided", str(error))

    def _get(self) -> None:
        confirmation, parts = self.server.confirmation, urlsplit(self.path)
        if parts.path == CALLBACK:
            self._back(dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=20)))
            return
        ticket = parts.path.removeprefix("/confirm/")
        if confirmation.tickets.find(ticket) is None:
            self._say(404, "This page is not here any more", "Ask the copilot to ask again.")
            return
        login = begin(confirmation.login, f"{confirmation.origin}{CALLBACK}")
        confirmation.logins.add(login.state, (ticket, login))
        self._redirect(login.url)

    def _back(self, parameters: dict[str, str]) -> None:
        """Takes the way back from the login: whoever sees this page may decide about that one approval, once."""
        confirmation = self.server.confirmation
        begun = confirmation.logins.take(parameters.get("state", ""))
        approval = confirmation.tickets.find(begun[0]) if begun else None
        if begun is None or approval is None:
            self._say(400, "This is no sign-in that was begun here", "Ask the copilot to ask again.")
            return
        ticket, login = begun
        token = finish(confirmation.login, login, parameters)
        shown = confirmation.approvals.shown(approval, token)
        form_token = confirmation.sessions.add(secrets.token_urlsafe(32), SignedIn(ticket, shown, token))
        self._send(200, pages.question(shown, DECIDE, form_token))

    def _post(self) -> None:
        """Decides about what was shown, once: only that page's form can say so, and only from here."""
        confirmation, form = self.server.confirmation, self._form()
        is_ours = (
            urlsplit(self.path).path == DECIDE
            and self.headers.get("Origin", confirmation.origin) == confirmation.origin
            and form.get("answer") in {"yes", "no"}
        )
        signed_in = confirmation.sessions.take(form.get("form", "")) if is_ours else None
        if signed_in is None or confirmation.tickets.take(signed_in.ticket) is None:
            self._say(403, "Nothing was decided", "Open the page again, or ask the copilot to ask again.")
            return
        decided = confirmation.approvals.decide(signed_in.shown, signed_in.token, approve=form["answer"] == "yes")
        text = "allowed" if decided.state in {"APPROVED", "USED"} else decided.state.lower()
        self._say(200, f"It is {text}", "You may close this window and go back to the copilot.")

    def _form(self) -> dict[str, str]:
        """Reads the form; an empty one is none, or too large."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= LARGEST_FORM):
            return {}
        with suppress(ValueError):
            return dict(parse_qsl(self.rfile.read(int(length)).decode("ascii", "replace"), max_num_fields=5))
        return {}

    def _say(self, status: int, title: str, text: str) -> None:
        self._send(status, pages.told(title, text))

    def _redirect(self, url: str) -> None:
        self.send_response(303)
        self.send_header("Location", url)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        for name, value in pages.HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
