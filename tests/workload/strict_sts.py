"""An STS that knows GetWebIdentityToken alone, strict by botocore's own model of it, with answers that tests choose.

It exists because ministack never refuses this call, and does not mind an action at the global endpoint.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from botocore.session import get_session
from botocore.validate import ParamValidator
from tests.workload.tokens import jwt

MODEL = get_session().get_service_model("sts").operation_model("GetWebIdentityToken")


@dataclass
class StrictSts:
    """What it was asked, and the code of the error that it answers with, if any; as a proxy it lets nothing through."""

    url: str = ""
    refuses_with: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    tunnels: list[str] = field(default_factory=list)

    def answer(self, body: str, authorization: str) -> tuple[int, str]:
        """Answers one request in AWS's query protocol."""
        form = dict(parse_qsl(body, strict_parsing=True))
        self.scopes.append(authorization.partition("Credential=")[2].partition(",")[0])
        assert (form.pop("Action"), form.pop("Version")) == ("GetWebIdentityToken", "2011-06-15")
        members = [form.pop(name) for name in sorted(form) if name.startswith("Audience.member.")]
        seconds = int(form.pop("DurationSeconds"))
        asked: dict[str, Any] = {"Audience": members, "DurationSeconds": seconds, **form}
        assert MODEL.input_shape is not None
        assert not ParamValidator().validate(asked, MODEL.input_shape).has_errors()
        self.requests.append(asked)
        if self.refuses_with is not None:
            status = {one.name: one.metadata["error"]["httpStatusCode"] for one in MODEL.error_shapes}
            told = f"<Code>{self.refuses_with}</Code><Message>not {jwt(jti='canary')}</Message>"
            answer = f"<ErrorResponse><Error><Type>Sender</Type>{told}</Error><RequestId>1</RequestId></ErrorResponse>"
            return status.get(self.refuses_with, 403), answer
        self.issued.append(jwt(aud=members[0], ends_in=seconds, jti=str(len(self.issued))))
        end = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = f"<WebIdentityToken>{self.issued[-1]}</WebIdentityToken><Expiration>{end}</Expiration>"
        return 200, (
            '<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<GetWebIdentityTokenResult>{found}</GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"
        )


@contextmanager
def strict_sts() -> Iterator[StrictSts]:
    """Serves it until the block is left."""
    sts = StrictSts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = sts.answer(body, self.headers.get("Authorization", ""))
            content = answer.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_CONNECT(self) -> None:
            sts.tunnels.append(self.path)
            self.send_error(403)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sts.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield sts
        finally:
            server.shutdown()
            thread.join()
