"""A server that answers badly first and well then: what is badly is that it repeats all that it was shown."""

import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiohttp import web
from tests.bundle_web import BundleWeb

from remit_sandbox.certificates import Authority

_PATIENCE = 60.0


@dataclass
class Repeating:
    """Whoever asks for a path is refused once, with every header and the body of the question in the answer."""

    url: str = ""
    told: list[str] = field(default_factory=list)
    never_well: bool = False
    _asked: Counter[str] = field(default_factory=Counter)
    _heard: threading.Condition = field(default_factory=threading.Condition)

    def answer(self, path: str, shown: str, body: bytes) -> tuple[int, bytes]:
        """Returns a status and a body, and notes what was told beside its authorization."""
        place = path.split("?", maxsplit=1)[0].split("/")[1]
        with self._heard:
            self._asked[place] += 1
            self.told.append(body.decode(errors="replace"))
            self._heard.notify_all()
            is_well = self._asked[place] > 1 and not self.never_well
        return (200, b'{"status": "ACTIVE"}') if is_well else (403, f"{path}\n{shown}\n".encode() + body)

    def was_asked(self, place: str, count: int) -> bool:
        """Waits until a path was asked for so often, and says whether it was."""
        with self._heard:
            return self._heard.wait_for(lambda: self._asked[place] >= count, timeout=_PATIENCE)


@dataclass
class RepeatingBundles(BundleWeb):
    """A bundle server that can repeat what it was shown."""

    repeats: bool = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers as the usual one, but where it repeats."""
        if not self.repeats:
            return await super().answer(request)
        self.asked.append(request)
        return web.Response(status=403, text=str(request.headers), headers={"ETag": request.headers["Authorization"]})


@contextmanager
def repeating(authority: Authority | None = None, port: int = 0) -> Iterator[Repeating]:
    """Runs one on loopback, by TLS where there is an authority for its certificate."""
    made = Repeating()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = made.answer(self.path, str(self.headers), body)
            self.send_response(status, " ".join(f"{self.path} {self.headers.get('Authorization', '')}".split()))
            for name, value in (
                ("Content-Length", str(len(content))),
                ("WWW-Authenticate", self.headers.get("Authorization", "none")),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if authority is not None:
        pair = authority.issue_server(("127.0.0.1",))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.certificate_path, pair.key_path)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"http{'' if authority is None else 's'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
