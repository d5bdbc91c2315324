"""Stands between the gateway and MinIO's STS, because MinIO is not AWS: what it changes is all told here.

Of a request, the token and every parameter go on as they are, but for what MinIO does not take in the denies of a
session policy. That `aws:ViaAWSService` is not true is dropped: this makes a deny stricter, and at MinIO, where no
service acts for a caller, it always holds. `*` as action becomes `s3:*`: there is nothing else at MinIO. A deny with
`NotAction` is left out, because MinIO cannot store one: what is not allowed is refused there without it, too.
Of an answer, MinIO names the subject and gives the credentials, and says neither for which role and session nor of
which provider; these are filled in from the request. Every call goes into the log of invariant I3.
"""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import escape

from tests.sts_log import LOG

_DIRECT = {"aws:ViaAWSService": "false"}
_EMPTY_USER = b"<AssumedRoleUser><Arn></Arn><AssumeRoleId></AssumeRoleId></AssumedRoleUser>"
_PATIENCE = 30.0


def as_minio_takes_it(policy: str) -> str:
    """Returns the session policy with its denies in the words that MinIO knows."""
    document = json.loads(policy)
    denies = [statement for statement in document["Statement"] if statement["Effect"] == "Deny"]
    for deny in denies:
        if deny.get("Condition", {}).get("BoolIfExists") == _DIRECT:
            del deny["Condition"]["BoolIfExists"]
            if not deny["Condition"]:
                del deny["Condition"]
        if deny.get("Action") == "*":
            deny["Action"] = "s3:*"
        if "NotAction" in deny:
            document["Statement"].remove(deny)
    return json.dumps(document)


def completed(answer: bytes, form: dict[str, str]) -> bytes:
    """Returns MinIO's answer with what AWS's says besides: the session's ARN and the provider."""
    _, partition, _, _, account, name = form["RoleArn"].split(":", 5)
    arn = f"arn:{partition}:sts::{account}:assumed-role/{name.rsplit('/', 1)[-1]}/{form['RoleSessionName']}"
    payload = form["WebIdentityToken"].split(".")[1]
    issuer = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"]
    about = f"<AssumedRoleUser><Arn>{escape(arn)}</Arn></AssumedRoleUser><Provider>{escape(issuer)}</Provider>".encode()
    assert answer.count(_EMPTY_USER) == 1, answer
    return answer.replace(_EMPTY_USER, about)


@dataclass
class MinioRelay:
    """A running relay; `refusals` are the answers of MinIO that were no sessions, as they came."""

    url: str
    refusals: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""
    refusals: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(parse_qsl(body, keep_blank_values=True))
        passed = urlencode({**form, "Policy": as_minio_takes_it(form["Policy"])})
        connection = http.client.HTTPConnection(self.upstream, timeout=_PATIENCE)
        try:
            connection.request("POST", "/", passed, {"Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        LOG.note(form, outcome=f"HTTP {answer.status} of MinIO")
        if answer.status == 200:
            content = completed(content, form)
        else:
            self.refusals.append(content.decode())
        self.send_response_only(answer.status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keeps calls out of the test's output."""


@contextmanager
def minio_relay(endpoint_url: str) -> Iterator[MinioRelay]:
    """Runs a relay on a free port of loopback."""
    refusals: list[str] = []
    handler = type("Handler", (_Handler,), {"upstream": urlsplit(endpoint_url).netloc, "refusals": refusals})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield MinioRelay(f"http://127.0.0.1:{server.server_address[1]}", refusals)
        finally:
            server.shutdown()
            thread.join()
