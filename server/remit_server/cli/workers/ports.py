"""Takes the gateway's ports for all of its workers, and keeps strangers off them.

NOTE: with SO_REUSEPORT any process of the same user may join a port and receive a share of its connections. So the port
is first bound alone, which fails where anybody has it, and opened to this user's workers only afterwards, on the same
socket: no moment lies between. Clearing SO_REUSEADDR makes the next who tries the same fail (Linux looks at the
flags as they are now, not as they were at bind: inet_csk_bind_conflict).
"""

import socket
from collections.abc import Sequence
from typing import Final, Self

_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


class PortTaken(OSError):  # noqa: N818 - named for what it says
    """An address cannot be listened on, and why."""


class HeldPorts:
    """Holds each `host:port` until it is closed; `addresses` are they with the ports they got, 0 being any free one.

    Nobody can connect yet: the sockets do not listen. Workers of the same user may bind them with SO_REUSEPORT.
    Raises PortTaken, and then holds nothing.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._held: list[socket.socket] = []
        try:
            self.addresses = tuple(self._hold(address) for address in addresses)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the ports; may be repeated."""
        for held in self._held:
            held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hold(self, address: str) -> str:
        """Holds one address, for each IP address that it means, and returns it with its port."""
        host, _, written = address.rpartition(":")
        port = int(written)
        try:
            for family, bare in _meant_by(host.strip("[]")):
                self._held.append(socket.socket(family, socket.SOCK_STREAM))
                port = _bound(self._held[-1], bare, port)
        except OSError as error:
            raise PortTaken(f"{address} cannot be listened on: {error.strerror or error}") from error
        return f"{host}:{port}"


def _meant_by(host: str) -> list[tuple[socket.AddressFamily, str]]:
    """Returns the IP addresses that grpc listens on for this host: every one for a wildcard of either kind."""
    if host in _WILDCARDS:
        return [(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found))


def _bound(held: socket.socket, host: str, port: int) -> int:
    """Binds a socket where nobody else is, opens the port to workers, and returns it."""
    # Connections of a gateway that has just ended are no reason to fail: they linger for a minute.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if held.family == socket.AF_INET6 and host == "::":
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    held.bind((host, port))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    taken: int = held.getsockname()[1]
    return taken
