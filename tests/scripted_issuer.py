"""An OIDC issuer over real TLS that answers by script: no honest one mixes itself up, drips or takes another's name."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from remit.local.login_settings import LoginSettings
from remit_sandbox.certificates import Authority

CLIENT = "copilot"


@dataclass(frozen=True)
class Said:
    """One answer; `content` wins over `members`. `drips` sends a byte at a time until the client has had enough."""

    members: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drips: bool = False


Answer = Said | Callable[[Mapping[str, str]], Said]


class ScriptedIssuer:
    """Answers at `/token`, `/device_authorization` and `/revoke` what was put there, the last one for ever."""

    def __init__(self, port: int, ca_file: Path) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self.ca_file = ca_file
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.answers: dict[str, list[Answer]] = {}
        self.metadata: dict[str, Any] = {
            "issuer": self.url,
            **{f"{name}_endpoint": f"{self.url}/{name}" for name in ("token", "authorization", "device_authorization")},
            "authorization_response_iss_parameter_supported": True,
            "code_challenge_methods_supported": ["S256"],
        }

    def settings(self, **more: Any) -> LoginSettings:
        """Returns the settings of a client of this issuer."""
        return LoginSettings(**{"issuer": self.url, "client_id": CLIENT, "ca_file": self.ca_file, **more})

    def tokens(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        lifetime: float = 600,
        refresh_token: str = "refresh-1",  # noqa: S107
    ) -> Said:
        """Returns an answer with an ID token of these claims."""
        usual = {"iss": self.url, "aud": CLIENT, "sub": "alice", "exp": int(time.time() + lifetime)}
        members = {
            "id_token": jwt_of({**usual, **(claims or {})}),
            "access_token": "access-token",
            "expires_in": lifetime,
        }
        return Said({**members, "refresh_token": refresh_token})

    def grants(self) -> list[str]:
        """Returns the grant types that were asked for."""
        return [form["grant_type"] for path, form in self.asked if path == "/token"]

    def answer(self, path: str, form: Mapping[str, str]) -> Said:
        """Returns the next answer for a path."""
        self.asked.append((path, form))
        script = self.answers.get(path)
        if path == "/.well-known/openid-configuration" and script is None:
            return Said(self.metadata)
        if not script:
            return Said(status=404)
        found = script.pop(0) if len(script) > 1 else script[0]
        return found if isinstance(found, Said) else found(form)


def jwt_of(claims: Mapping[str, Any]) -> str:
    """Returns a JWT of these claims that nobody signed: whoever fetched it by TLS looks at no signature."""
    return ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)) + ".c2ln"


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def scripted_issuer(authority: Authority) -> Iterator[ScriptedIssuer]:
    """Runs an issuer while the block lasts."""
    pair = authority.issue_server(["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(dict(parse_qsl(content, keep_blank_values=True)))

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, form: Mapping[str, str]) -> None:
            said = issuer.answer(self.path.partition("?")[0], form)
            content = json.dumps(said.members).encode() if said.content is None else said.content
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            while said.drips and not ended.wait(0.05):
                self.wfile.write(b" ")
                self.wfile.flush()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that has had enough

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    issuer = ScriptedIssuer(server.server_address[1], authority.bundle_path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
