"""Reads where a PostgreSQL database is: a URL without a password; a server elsewhere is verified by TLS."""

import ipaddress
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

_URL: Final = re.compile(
    r"postgresql://(?:(?P<user>[^:/@?#\s]+)@)?(?P<hosts>[^/@?#\s]*)/(?P<database>[^/?#\s]+)(?:\?(?P<options>[^#\s]+))?"
)
_HOST: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_PASSWORD: Final = re.compile(r"[a-z]+://[^/?#]*:[^/?#]*@|[?&]pass(?:word|file)=", re.IGNORECASE)
_LAST_PORT: Final = 65_535
_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_TARGETS: Final = frozenset({"any", "read-write", "primary"})
_OPTIONS: Final = frozenset({"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"})
_FILES: Final = ("sslrootcert", "sslcert", "sslkey")
_SYSTEM: Final = "system"
EXAMPLE: Final = "postgresql://remit@db.example:5432/remit"


class AddressRefused(ValueError):  # noqa: N818 - named for what it says
    """Why this is no address of a database, and what to write; never holds the URL, which may contain a password."""

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(f"{problem}: {mend}")
        self.problem = problem
        self.mend = mend


@dataclass(frozen=True, slots=True)
class PostgresqlAddress:
    """Where a database is, in the words of libpq, and `name`, which tells a person."""

    name: str
    parameters: dict[str, str] = field(repr=False)

    @property
    def authorities(self) -> Path | None:
        """The file of the authorities that the server's certificate must come from; None without TLS that verifies."""
        found = self.parameters.get("sslrootcert")
        return None if found is None else Path(found)


def is_postgresql(url: str) -> bool:
    """Says whether a URL means PostgreSQL, rightly written or not."""
    return re.match(r"postgres(?:ql)?(?:\+[a-z0-9]+)?:", url) is not None


def postgresql_address(url: str) -> PostgresqlAddress:
    """Returns the address of a URL; raises AddressRefused for any other text."""
    if _PASSWORD.search(url):
        raise AddressRefused("holds a password", "put the password alone into a file, and name the file beside the URL")
    found = _URL.fullmatch(url)
    if found is None:
        raise AddressRefused("cannot be read", f"write {EXAMPLE}")
    options = _options(found["options"] or "")
    hosts, ports = _hosts(found["hosts"], options)
    parameters = {"host": ",".join(hosts), "port": ",".join(ports), "dbname": unquote(found["database"])}
    if found["user"]:
        parameters["user"] = unquote(found["user"])
    parameters |= {name: options[name] for name in ("sslcert", "sslkey") if name in options}
    parameters |= _tls(options, here=all(map(_is_here, hosts)))
    if (target := options.get("target_session_attrs", "any")) not in _TARGETS:
        raise AddressRefused("has another target_session_attrs", f"write one of {', '.join(sorted(_TARGETS))}")
    parameters["target_session_attrs"] = target
    if any(not text.isprintable() for text in parameters.values()):
        raise AddressRefused("holds characters that cannot be printed", f"write {EXAMPLE}")
    places = ",".join(
        host if host.startswith("/") else f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)
    )
    return PostgresqlAddress(f"the database {parameters['dbname']} at {places}", parameters)


def _options(text: str) -> dict[str, str]:
    """Returns the options of a URL; raises AddressRefused for one that is unknown, empty or given twice."""
    pairs = parse_qsl(text, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs) or not all(options.values()):
        raise AddressRefused("has an option that is empty or given twice", "give each option once")
    if unknown := sorted(set(options) - _OPTIONS):
        told = ", ".join(name for name in unknown if name.isidentifier()) or "one with an odd name"
        raise AddressRefused(f"has an option that is not known ({told})", f"there are {', '.join(sorted(_OPTIONS))}")
    if relative := [name for name in _FILES if not options.get(name, "/").startswith("/") and options[name] != _SYSTEM]:
        raise AddressRefused(f"has a relative path in {relative[0]}", "write an absolute one")
    return options


def _hosts(text: str, options: dict[str, str]) -> tuple[list[str], list[str]]:
    """Returns hosts and their ports; a folder of a unix socket is given as the option `host`."""
    default = options.get("port", "5432")
    if not text:
        socket = options.get("host", "")
        if not socket.startswith("/") or "," in socket:
            mend = f"write {EXAMPLE}, or postgresql:///remit?host=/run/postgresql for a unix socket"
            raise AddressRefused("names no host", mend)
        return [socket], [_port(default)]
    if "host" in options:
        raise AddressRefused("names a host twice", f"write {EXAMPLE}")
    found = [_HOST.fullmatch(one) for one in text.split(",")]
    places = [one for one in found if one is not None]
    if len(places) != len(found):
        raise AddressRefused("names no host", f"write {EXAMPLE}")
    return [one["six"] or one["name"] for one in places], [_port(one["port"] or default) for one in places]


def _port(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _LAST_PORT):
        raise AddressRefused("names no port", f"write {EXAMPLE}")
    return text


def _is_here(host: str) -> bool:
    """Says whether a host is this machine: a unix socket or loopback."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(options: dict[str, str], *, here: bool) -> dict[str, str]:
    """Returns how the server is verified: always by its name, unless it is on this machine."""
    mode = options.get("sslmode", "prefer" if here else "verify-full")
    if mode not in _MODES:
        raise AddressRefused("has another sslmode", "leave it out: it is verify-full")
    if not here and mode != "verify-full":
        # NOTE: with anything less, whoever is on the way can be the database, and answer that all is recorded.
        raise AddressRefused("does not verify the server", "leave sslmode out, or write sslmode=verify-full")
    if not mode.startswith("verify"):
        return {"sslmode": mode, "require_auth": "!password"}  # no password in clear to whoever listens there
    authorities = options.get("sslrootcert", _SYSTEM)
    path = next(_system_authorities(), None) if authorities == _SYSTEM else Path(authorities)
    if path is None:
        raise AddressRefused("names no authorities, and this machine has none", "write sslrootcert=/path/to/ca.pem")
    return {"sslmode": mode, "sslrootcert": str(path)}


def _system_authorities() -> Iterator[Path]:
    """Yields the file of the authorities that this machine trusts, where it has one.

    libpq's own `system` is where its build has OpenSSL look, which need not be on this machine.
    """
    paths = ssl.get_default_verify_paths()
    yield from (path for name in (paths.cafile, paths.openssl_cafile) if name and (path := Path(name)).is_file())
