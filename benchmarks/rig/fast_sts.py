"""A fast STS on loopback, as a process of its own: `python -m benchmarks.rig.fast_sts CERTIFICATE KEY`.

It verifies every signature (with keys derived once) and answers as STS does, in about a tenth of a millisecond. Each
line on its standard input is a delay in seconds, from then on kept before every answer.
"""

import asyncio
import hashlib
import hmac
import secrets
import ssl
import sys
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

import uvloop

ACCESS_KEY_ID: Final = "AKIABENCHMARK0000001"
SECRET_ACCESS_KEY: Final = "made-up-gateway-secret-of-the-benchmarks"
_END = b"\r\n\r\n"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class FastSts:
    """Answers AssumeRole on every connection; `delay` is kept before each answer."""

    def __init__(self) -> None:
        self.delay = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request after the other until the caller hangs up."""
        try:
            while True:
                head = (await reader.readuntil(_END)).decode("latin-1")
                verb, *lines = head[: -len(_END)].split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(_answer(verb, headers, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def _answer(verb: str, headers: dict[str, str], body: bytes) -> bytes:
    """Returns the whole HTTP answer."""
    form = dict(parse_qsl(body.decode("ascii")))
    if verb != "POST / HTTP/1.1" or not _is_signed(headers, body) or not form.get("Policy"):
        return _http(
            "403 Forbidden", "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
        )
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=int(form["DurationSeconds"]))
    account, name = form["RoleArn"].split(":", 5)[4:]
    key = "ASIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16))
    source = form.get("SourceIdentity")
    return _http(
        "200 OK",
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser>'
        f"<AssumedRoleId>AROABENCH:{form['RoleSessionName']}</AssumedRoleId><Arn>arn:aws:sts::{account}:assumed-role/"
        f"{name.rsplit('/', 1)[-1]}/{form['RoleSessionName']}</Arn></AssumedRoleUser><Credentials>"
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secrets.token_urlsafe(30)}</SecretAccessKey>"
        f"<SessionToken>{secrets.token_urlsafe(500)}</SessionToken><Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        f"</Credentials>{f'<SourceIdentity>{source}</SourceIdentity>' if source else ''}"
        "<PackedPolicySize>40</PackedPolicySize></AssumeRoleResult><ResponseMetadata>"
        "<RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata></AssumeRoleResponse>",
    )


def _http(status: str, text: str) -> bytes:
    body = text.encode("ascii")
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n"
        "x-amzn-RequestId: c6104cbe-af31-11e0-8154-cbc7ccf896c7\r\n\r\n"
    ).encode("ascii") + body


def _is_signed(headers: dict[str, str], body: bytes) -> bool:
    """Recomputes the signature (Signature Version 4) over the headers that it says it covers."""
    parts = dict(part.split("=", 1) for part in headers["authorization"].partition(" ")[2].split(", "))
    key_id, day, region, service, _ = parts["Credential"].split("/")
    names = parts["SignedHeaders"]
    lines = "".join(f"{name}:{headers[name]}\n" for name in names.split(";"))
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    signature = hmac.digest(_derived(day, region, service), to_sign.encode(), "sha256").hex()
    return key_id == ACCESS_KEY_ID and hmac.compare_digest(signature, parts["Signature"])


@lru_cache(maxsize=8)
def _derived(day: str, region: str, service: str) -> bytes:
    key = f"AWS4{SECRET_ACCESS_KEY}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


async def main() -> None:
    """Prints the port, serves, takes delays, and ends with its standard input."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    sts = FastSts()
    server = await asyncio.start_server(sts.serve, "127.0.0.1", 0, ssl=context, limit=1 << 16)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        sts.delay = float(line)
        print("ok", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
