"""Fetches a small public document over https and can be steered nowhere else (8-threats.md G12).

NOTE: what it asks for is named by an issuer's discovery document, so the host's name and every address behind it are
checked, at the moment of connecting: a name that resolves elsewhere the second time reaches nothing.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from remit_server.adapters.identity.fetch_failures import FetchFailed, FetchTimedOut, fetch_failure
from remit_server.config.identity_rules import url_mistake

__all__ = ["Fetch", "FetchFailed", "FetchTimedOut", "HttpAnswer", "HttpsFetch"]

FETCH_DEADLINE_SECONDS: Final = 5.0
MAX_DOCUMENT_BYTES: Final = 100 * 1024
_OK: Final = 200
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 1918 and RFC 4193. NOTE: the metadata service of AWS has a unique local address, too.
_PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
_METADATA = ipaddress.IPv6Network("fd00:ec2::/32")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Fetch(Protocol):
    """Gets one document."""

    async def __call__(self, url: str, /) -> bytes:
        """Returns the document; raises FetchFailed for every other outcome."""
        ...


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered: its status, and its whole body."""

    status: int
    body: bytes = field(repr=False)


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Returns the addresses of a host as the operating system finds them; raises OSError when there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, slots=True)
class HttpsFetch:
    """Fetches from the listed hosts only: https, no redirect, one deadline for everything, a bounded body.

    `hosts` are host names or IP addresses. Addresses must be public, or loopback for a host that is listed as
    `localhost` or a loopback address; link-local (cloud metadata) and multicast ones are never connected to, those of
    private networks (RFC 1918, RFC 4193) with `private_network` only.
    `ca_file` replaces the system's authorities. The environment's proxies are not used.
    """

    hosts: Collection[str]
    ca_file: Path | None = None
    private_network: bool = False
    deadline_seconds: float = FETCH_DEADLINE_SECONDS
    max_bytes: int = MAX_DOCUMENT_BYTES
    resolve: Resolve = field(default=resolve_by_system, repr=False)

    async def __call__(self, url: str, /) -> bytes:
        """Returns the body of a 200 answer; raises FetchFailed for every other outcome."""
        answer = await self.exchange("GET", url)
        if answer.status != _OK:
            raise FetchFailed(
                f"the answer has HTTP status {answer.status}, not 200 (redirects are not followed): correct `issuer` "
                "or `key_set_url`, which must lead straight to the document"
            )
        return answer.body

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        query: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> HttpAnswer:
        """Returns the answer to one request, whatever its status; raises FetchFailed when there is none.

        `query` stands apart from the URL, because the URL is held to a place and nothing more.
        """
        if mistake := url_mistake(url, self.hosts):
            raise FetchFailed(f"the URL {mistake}")
        asked = f"{url}?{query}" if query else url
        try:
            async with asyncio.timeout(self.deadline_seconds):
                return await self._exchange(method, asked, body, {**_HEADERS, **headers})
        except TimeoutError:
            raise FetchTimedOut(
                f"no whole answer within {self.deadline_seconds:g} seconds: check routes and firewalls, or that server"
            ) from None
        except aiohttp.ClientError as wrong:
            raise fetch_failure(wrong, urlsplit(url).hostname or "", self.ca_file) from wrong
        except (OSError, ValueError) as wrong:
            raise FetchFailed("the host or its address cannot be read") from wrong

    async def _exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> HttpAnswer:
        """Asks once, without cookies, proxies, redirects or decompression."""
        check_address(urlsplit(url).hostname or "", private_network=self.private_network)
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self.resolve, private_network=self.private_network),
            ssl=self._trust(),
            use_dns_cache=False,
            force_close=True,
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,  # NOTE: a small body must not become a large one
                timeout=aiohttp.ClientTimeout(total=None),  # the one deadline stands around all of this
            ) as session,
            session.request(method, url, data=body, allow_redirects=False, headers=headers) as answer,
        ):
            return HttpAnswer(answer.status, await self._body(answer))

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        """Returns the body, reading no further than its bound."""
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchFailed("the answer is compressed although that was not asked for")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(8192):
            body += chunk
            if len(body) > self.max_bytes:
                raise FetchFailed(f"the answer is longer than {self.max_bytes} bytes")
        return bytes(body)

    def _trust(self) -> ssl.SSLContext:
        """Returns a context that checks certificate and host name, from TLS 1.2 on."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca_file)
        except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
            why = f"ca_file {self.ca_file} cannot be read as PEM certificates: put the issuer's authorities there"
            raise FetchFailed(why) from wrong
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "remit"}


class CheckedResolver(AbstractResolver):
    """Gives aiohttp only addresses that passed the check: those are what it then connects to."""

    def __init__(self, resolve: Resolve, *, private_network: bool) -> None:
        self._resolve = resolve
        self._private_network = private_network

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Returns the addresses; raises FetchFailed when one of them may not be connected to."""
        del family  # the family is that of each address
        addresses = await self._resolve(host, port)
        if not addresses:
            raise FetchFailed("the host has no address")
        return [_checked(host, port, address, private_network=self._private_network) for address in addresses]

    async def close(self) -> None:
        """Holds nothing open."""


def check_address(host: str, *, private_network: bool) -> None:
    """Raises FetchFailed when the host is an IP address that may not be connected to.

    NOTE: aiohttp connects to an IP address without asking the resolver.
    """
    if _is_address(host):
        _check_address(host, host, private_network=private_network)


def _checked(host: str, port: int, address: str, *, private_network: bool) -> ResolveResult:
    """Returns the address as aiohttp wants it; one bad address refuses the host, whichever the others are."""
    ip = _check_address(host, address, private_network=private_network)
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6  # noqa: PLR2004 - the version of IP
    return ResolveResult(hostname=host, host=str(ip), port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def _check_address(host: str, address: str, *, private_network: bool) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Returns the address; raises FetchFailed unless it is public, private where allowed, or loopback where listed."""
    ip = ipaddress.ip_address(address)
    inner = _embedded(ip)
    if host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        if not ip.is_loopback:
            raise FetchFailed("the loopback host resolves to another address")
    elif private_network and any(ip in network for network in _PRIVATE) and ip not in _METADATA:
        return ip
    elif not inner.is_global or inner.is_multicast or inner.is_reserved:
        raise FetchFailed(
            "the host resolves to an address that is not public: set private_network = true if it is one of your own "
            "private network; loopback needs `localhost` or a loopback address, link-local is never asked"
        )
    return ip


def _embedded(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Returns the IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64), or the address itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    teredo = ip.teredo[1] if ip.teredo else None
    nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in _NAT64 else None
    return ip.ipv4_mapped or ip.sixtofour or teredo or nat64 or ip


def _is_address(host: str) -> bool:
    """Says whether the host is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
