"""Calls of AWS's query protocol (IAM, EC2): signed, bounded in time and size, never retried here, never logged.

NOTE: on the loop and not in botocore's threads, because a thread cannot be ended: a call that outlived its deadline
could put an old policy over a newer one.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit
from xml.parsers import expat

import aiohttp

from remit_server.adapters.aws.sigv4 import AwsKeys, SigV4
from remit_server.application.ports import Clock
from remit_server.domain.aws_names import dns_suffix_of, partition_of

MAX_ANSWER_BYTES: Final = 262_144
_MAX_ELEMENTS, _MAX_DEPTH = 4_096, 12
_CONNECT_SECONDS: Final = 3.0
_OK: Final = 200
_CODE = re.compile(r"[A-Za-z0-9.]{1,80}", re.ASCII)
_GLOBAL_IAM: Final = {
    "aws": ("iam.amazonaws.com", "us-east-1"),
    "aws-cn": ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    "aws-us-gov": ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
    "aws-iso": ("iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
    "aws-iso-b": ("iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
    "aws-iso-e": ("iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
    "aws-iso-f": ("iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
    "aws-eusc": ("iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
}


class CallFailed(Exception):  # noqa: N818 - named for what it says
    """AWS did not do it, or nobody knows: its own `code` where it gave one, else what happened to the connection.

    `maybe_done` says that the call was sent and no whole answer came.
    """

    def __init__(self, code: str, status: int | None = None, *, maybe_done: bool = False) -> None:
        super().__init__(code if status is None else f"{code} (HTTP {status})")
        self.code = code
        self.status = status
        self.maybe_done = maybe_done


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service of the query protocol answers, and for which region its calls are signed."""

    name: str
    version: str
    url: str
    region: str


def iam_of(region: str, url: str | None = None) -> Service:
    """Returns IAM as seen from a region: one endpoint for its whole partition, unless another is given."""
    host, signed_for = _GLOBAL_IAM[partition_of(region)]
    return Service("iam", "2010-05-08", url or f"https://{host}", signed_for)


def ec2_of(region: str, url: str | None = None) -> Service:
    """Returns EC2 of a region, unless another endpoint is given."""
    return Service("ec2", "2016-11-15", url or f"https://ec2.{region}.{dns_suffix_of(region)}", region)


@dataclass(slots=True)
class QueryCalls:
    """Makes calls with reused connections; `close()` ends them."""

    clock: Clock
    ca_file: Path | None = None
    connections: int = 16
    _signers: dict[str, SigV4] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None

    async def __call__(
        self, service: Service, action: str, parameters: Mapping[str, str], keys: AwsKeys, /, *, deadline: float
    ) -> "Answer":
        """Returns the answer; `deadline` is monotonic seconds. Raises CallFailed."""
        form = {"Action": action, "Version": service.version, **parameters}
        body = "&".join(f"{name}={quote(value, safe='')}" for name, value in form.items()).encode("ascii")
        signer = self._signers.setdefault(service.name, SigV4(service.name))
        headers = signer.headers(
            host=urlsplit(service.url).netloc, body=body, region=service.region, keys=keys, now=self.clock.now()
        )
        left = deadline - self.clock.monotonic()
        if left <= 0:
            raise CallFailed("no time left")
        status, answer = await self._sent(service.url, headers, body, left)
        return _judged(status, answer)

    async def close(self) -> None:
        """Ends the connections."""
        if self._session is not None:
            await self._session.close()

    async def _sent(self, url: str, headers: dict[str, str], body: bytes, seconds: float) -> tuple[int, bytes | None]:
        """Returns status and body, or None for a body over the limit; raises CallFailed."""
        try:
            async with (
                asyncio.timeout(seconds),
                self._client().post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > MAX_ANSWER_BYTES:
                        response.close()
                        return response.status, None
                return response.status, bytes(answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as wrong:
            raise CallFailed(f"no connection: {type(wrong).__name__}") from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as wrong:
            raise CallFailed(f"no answer: {type(wrong).__name__}", maybe_done=True) from None

    def _client(self) -> aiohttp.ClientSession:
        """Returns the HTTP client; its connections live on between calls."""
        if self._session is None:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.connections, ssl=context, keepalive_timeout=15.0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity", "User-Agent": "remit-server"},
                auto_decompress=False,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                raise_for_status=False,
            )
        return self._session


@dataclass(frozen=True, slots=True)
class Answer:
    """The texts of an answer's elements, each with its path below the outermost element, in their order."""

    elements: tuple[tuple[str, str], ...]

    def one(self, path: str) -> str | None:
        """Returns the text of the one element whose path ends so; None when there is none, or several."""
        found = self.every(path)
        return found[0] if len(found) == 1 else None

    def every(self, path: str) -> list[str]:
        """Returns the texts of all elements whose path ends so."""
        return [text for place, text in self.elements if place == path or place.endswith(f"/{path}")]


def _judged(status: int, body: bytes | None) -> Answer:
    """Returns the answer; raises CallFailed for any but a whole 200."""
    if body is None:
        raise CallFailed(f"an answer over {MAX_ANSWER_BYTES} bytes", status, maybe_done=True)
    answer = _read(body)
    if status == _OK and answer is not None:
        return answer
    code = (answer.one("Error/Code") if answer is not None else None) or ""
    if status == _OK or _CODE.fullmatch(code) is None:
        raise CallFailed("no answer of AWS's", status, maybe_done=True)
    raise CallFailed(code, status)


@dataclass(slots=True)
class _Reader:
    """Collects the text of each element under its path."""

    path: list[str] = field(default_factory=list)
    found: list[tuple[str, list[str]]] = field(default_factory=list)
    open: list[list[str]] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Opens an element."""
        del attributes
        self.path.append(name)
        texts: list[str] = []
        self.found.append(("/".join(self.path[1:]), texts))
        self.open.append(texts)
        if len(self.path) > _MAX_DEPTH or len(self.found) > _MAX_ELEMENTS:
            raise ValueError("too deep, or too many elements")

    def end(self, name: str) -> None:
        """Closes an element."""
        del name
        self.path.pop()
        self.open.pop()

    def text(self, data: str) -> None:
        """Adds text to the open element."""
        self.open[-1].append(data)


def _refuse_doctype(*_: object) -> None:
    """Refuses a document type: with it come entities, which grow (CWE-776) and fetch (CWE-611)."""
    raise ValueError("a document type declaration")


def _read(body: bytes) -> Answer | None:
    """Returns the elements of plain, well-formed UTF-8 XML; None for anything else."""
    if b"\0" in body:  # NOTE: expat takes it for UTF-16, whatever encoding it is told
        return None
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body, True)  # noqa: FBT003 - expat's "this is all"
    except (expat.ExpatError, ValueError):
        return None
    return Answer(tuple((place, "".join(texts)) for place, texts in reader.found))
