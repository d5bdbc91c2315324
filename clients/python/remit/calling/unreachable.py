"""Why nobody answered at a gateway's address: gRPC's account of it in words, with what to do.

gRPC tells it in a text for its own developers. What is found in that are only words; nothing is decided by them, and
where none is known its own text is passed on.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

PUBLIC_ROOTS = "the public roots that come with gRPC"


@dataclass(frozen=True, slots=True)
class Way:
    """How a gateway is called, in the caller's words.

    `trusts` names what says whom to trust (`ca_file /etc/ca.pem`), empty for the public roots; `shows` the certificate
    that the caller shows, empty for a token. `names_roots` is the option that would name roots.
    """

    target: str
    trusts: str = ""
    shows: str = ""
    names_roots: str = "ca_file"

    @property
    def host(self) -> str:
        """The name or address in the target."""
        host = self.target.rpartition(":")[0] or self.target
        return host.removeprefix("[").removesuffix("]")


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Why nobody answered (the end of a sentence), and what to do about it."""

    why: str
    todo: str


def is_target(text: str) -> bool:
    """Says whether a text is `host:port`, and no URL."""
    host, _, port = text.rpartition(":")
    return bool(host) and "/" not in text and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) is not None


def unreachable(details: str | None, way: Way) -> Unreachable:
    """Returns what gRPC's text says, for whoever reads it."""
    said = details or "no cause was given"
    known = next((tell for words, tell in _KNOWN if any(word.lower() in said.lower() for word in words)), None)
    if known is not None:
        return known(way, said)
    return Unreachable(
        said, f"check the address, that the gateway runs there, and that {way.names_roots} vouches for it"
    )


def _unknown_name(way: Way, _: str) -> Unreachable:
    return Unreachable(
        f"nothing is known by the name {way.host!r} (name resolution failed)",
        "correct the address, which is HOST:PORT, or mend DNS on this machine",
    )


def _refused(way: Way, _: str) -> Unreachable:
    port = way.target.rpartition(":")[2]
    return Unreachable(
        f"nothing listens at port {port} there (connection refused)", "check that the gateway runs, and the port"
    )


def _no_way(_: Way, __: str) -> Unreachable:
    return Unreachable(
        "the network does not lead there, or nothing answers (no route, or timed out)",
        "check the address, routes, firewalls and proxies between here and there",
    )


def _untrusted(way: Way, said: str) -> Unreachable:
    cause = said.partition("CERTIFICATE_VERIFY_FAILED: ")[2].removesuffix(": OK") or "not trusted"
    signer = "the authority (PEM) that signed the gateway's certificate"
    if way.trusts:
        why, todo = f"{way.trusts} does not vouch", f"give {signer} as {way.names_roots}"
    else:
        why, todo = f"{PUBLIC_ROOTS} do not vouch", f"name {signer} by {way.names_roots}"
    return Unreachable(f"{why} for its certificate ({cause})", todo)


def _expired(_: Way, said: str) -> Unreachable:
    when = "is not valid yet" if "not yet valid" in said else "has expired"
    return Unreachable(f"its certificate {when}", "renew the gateway's certificate, or set this machine's clock")


def _other_name(way: Way, _: str) -> Unreachable:
    return Unreachable(
        f"its certificate is for another name than {way.host!r}",
        "call it by a name that its certificate holds, or have this one put into the certificate",
    )


def _no_tls(_: Way, __: str) -> Unreachable:
    return Unreachable(
        "what listens there does not speak TLS", "check the port; a proxy before the gateway must pass TLS on"
    )


def _no_grpc(_: Way, __: str) -> Unreachable:
    return Unreachable(
        "what listens there speaks TLS, but not gRPC (no HTTP/2 by ALPN)",
        "check the port: the gateway's own pages, and an issuer, are at others",
    )


def _hung_up(way: Way, _: str) -> Unreachable:
    if way.shows:
        return Unreachable(
            f"the other side hung up, as a gateway does that does not take {way.shows}",
            "check that this certificate is not over and that the gateway trusts its authority (client_ca_file), and "
            "the port: gateways listen for certificates at one, for bearer tokens at another",
        )
    return Unreachable(
        "the other side hung up, as a gateway does that wants a client certificate at this port",
        "use the gateway's port for bearer tokens, or show a certificate at this one; else see whether it is stopping",
    )


# What is more exact comes first: a handshake's failure also says that the connection was lost.
_KNOWN: tuple[tuple[tuple[str, ...], Callable[[Way, str], Unreachable]], ...] = (
    (("hostname verification check failed", "hostname mismatch", "ip address mismatch"), _other_name),
    (("certificate has expired", "certificate is not yet valid"), _expired),
    (("CERTIFICATE_VERIFY_FAILED",), _untrusted),
    (("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"), _no_tls),
    (("ALPN",), _no_grpc),
    (("_ALERT_", "Socket closed", "Connection reset", "Broken pipe", "handshake failed"), _hung_up),
    (("errors resolving", "DNS resolution failed", "address lookup failed", "Domain name not found"), _unknown_name),
    (("Connection refused",), _refused),
    (("No route to host", "unreachable", "timed out", "timeout"), _no_way),
)
