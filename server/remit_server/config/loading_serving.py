"""Makes the settings of the listeners, the database and the limits."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from remit_server.config.files import Files
from remit_server.config.http_shapes import HttpListenerTable
from remit_server.config.mistakes import Notes
from remit_server.config.postgresql import AddressRefused, is_postgresql, postgresql_address
from remit_server.config.settings import HttpListenerSettings, LimitSettings, ListenerSettings
from remit_server.config.shapes import DatabaseTable, LimitTable, ListenerTable, ListenTable
from remit_server.domain.spiffe_id import is_trust_domain

_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_LAST_PORT: Final = 65_535
_SQLITE: Final = "sqlite:///"


def listeners(item: ListenTable, files: Files) -> tuple[ListenerSettings, ...]:
    """Returns the listeners that are right, after noting what is wrong with the others."""
    if item.mtls is None and item.bearer is None:
        why = "without a listener nobody can call"
        files.notes.add("listen", "has neither mtls nor bearer", why=why, mend="add [listen.mtls] or [listen.bearer]")
    addresses: dict[str, str] = {}
    every = (("mtls", item.mtls), ("bearer", item.bearer), ("http", item.http), ("metrics", item.metrics))
    for name, listener in every:
        if listener is None:
            continue
        other = addresses.setdefault(listener.address, name)
        if other != name and not listener.address.endswith(":0"):
            why = "each listener authenticates in its own way"
            problem = f"is that of listen.{other}"
            files.notes.add(f"listen.{name}.address", problem, why=why, mend="give it a port of its own")
    return tuple(_listeners(item, files))


def http(item: HttpListenerTable | None, files: Files, place: str = "listen.http") -> HttpListenerSettings | None:
    """Returns an HTTP listener, or None where there is none or after noting what is wrong with it."""
    if item is None:
        return None
    before = len(files.notes.mistakes)
    _check_address(place, item.address, files.notes)
    pair = None
    if item.certificate_file is not None and item.key_file is not None:
        pair = files.key_pair(place, item.certificate_file, item.key_file)
    elif item.certificate_file is not None or item.key_file is not None:
        missing = "certificate_file" if item.certificate_file is None else "key_file"
        files.notes.add(
            f"{place}.{missing}", "is missing beside its other half", why="TLS needs both", mend="name both"
        )
    elif is_address(item.address) and not is_loopback(item.address.rpartition(":")[0].strip("[]")):
        why = "whoever stands in between could change what is fetched: keys of their own in place of the gateway's"
        mend = "name certificate_file and key_file, or listen on 127.0.0.1 behind a proxy of this machine"
        files.notes.add(f"{place}.address", "is not on loopback and has no certificate", why=why, mend=mend)
    return HttpListenerSettings(item.address, pair, place) if len(files.notes.mistakes) == before else None


def _listeners(item: ListenTable, files: Files) -> Iterator[ListenerSettings]:
    """Yields the listeners that are right."""
    if item.mtls is not None:
        if len(item.mtls.trust_domains) > 1:
            why = "client_ca_file would vouch for all of them, so the authority of one could sign agents of another"
            mend = "keep one; this version has one file of authorities"
            files.notes.add("listen.mtls.trust_domains", "names several trust domains", why=why, mend=mend)
        for number, domain in enumerate(item.mtls.trust_domains):
            if not is_trust_domain(domain):
                place = f"listen.mtls.trust_domains[{number}]"
                why = "agents are taken by the trust domain in their certificate"
                files.notes.add(place, "is no trust domain", why=why, mend='write the name alone: "acme.example"')
        authorities = files.authorities("listen.mtls.client_ca_file", item.mtls.client_ca_file)
        listener = _listener("listen.mtls", item.mtls, files, authorities)
        if listener is not None and authorities is not None:
            yield listener
    if item.bearer is not None:
        listener = _listener("listen.bearer", item.bearer, files, None)
        if listener is not None:
            yield listener


def _listener(place: str, item: ListenerTable, files: Files, authorities: Path | None) -> ListenerSettings | None:
    """Returns one listener, or None."""
    right = _check_address(place, item.address, files.notes)
    pair = files.key_pair(place, item.certificate_file, item.key_file)
    if pair is None or not right:
        return None
    return ListenerSettings(item.address, *pair, authorities)


def _check_address(place: str, address: str, notes: Notes) -> bool:
    """Notes what is no address to listen on; says whether it is one."""
    right = is_address(address)
    if not right:
        mend = 'write host and port: "0.0.0.0:8443", "[::]:8443", "127.0.0.1:8443"'
        notes.add(f"{place}.address", "is no host and port", why="the gateway listens there", mend=mend)
    return right


def database(item: DatabaseTable, files: Files) -> tuple[str, Path | None] | None:
    """Returns the URL, a file's with an absolute path, and the file of the password; or None."""
    if is_postgresql(item.url):
        return _server(item, files)
    if item.password_file is not None:
        why = "a file of SQLite has no password: the mode of the file keeps others out"
        files.notes.add("database.password_file", "is given for SQLite", why=why, mend="leave it out")
    url = _file_url(item, files)
    return None if url is None else (url, None)


def _server(item: DatabaseTable, files: Files) -> tuple[str, Path | None] | None:
    """Returns the URL of a PostgreSQL server and the file of its password, or None."""
    place, why = "database.url", "no record, no credentials: whoever answers there says what was recorded"
    try:
        address = postgresql_address(item.url)
    except AddressRefused as wrong:
        # NOTE: the URL may hold a password, so it is not repeated.
        files.notes.add(place, wrong.problem, why=why, mend=wrong.mend)
        return None
    noted = len(files.notes.mistakes)
    if address.authorities is not None:
        files.authorities(f"{place} sslrootcert", str(address.authorities))
    password_file = None
    if item.password_file is not None:
        files.secret("database.password_file", item.password_file)
        password_file = files.path(item.password_file)
    return (item.url, password_file) if len(files.notes.mistakes) == noted else None


def _file_url(item: DatabaseTable, files: Files) -> str | None:
    """Returns the URL of a file with an absolute path, or None."""
    place, why = "database.url", "no record, no credentials: the ledger must be on a disk that stays"
    mend = 'write url = "sqlite:////var/lib/remit/remit.db", or "postgresql://remit@db.example/remit"'
    name = item.url.removeprefix(_SQLITE)
    if not item.url.startswith(_SQLITE):
        # NOTE: the URL of another database may hold a password, so it is not repeated.
        files.notes.add(place, "is neither sqlite:/// and the path of a file nor postgresql://", why=why, mend=mend)
        return None
    if name in {"", "/", ":memory:"} or name.startswith("file:") or any(mark in name for mark in "?#%\0"):
        files.notes.add(place, "names no plain file on disk", why=why, mend=mend)
        return None
    path = files.path(name)
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        mend = f"make {path.parent} (mode 0700, owned by the gateway's user), and name a file in it"
        files.notes.add(place, f"{path} {problem}", why=why, mend=mend)
        return None
    return f"{_SQLITE}{path}"


def limits(item: LimitTable) -> LimitSettings:
    """Returns what callers may ask of one process."""
    return LimitSettings(**item.model_dump())


def note_unsafe_environment(environment: Mapping[str, str], notes: Notes) -> None:
    """Notes the switches that make a library write out what TLS protects (8-threats.md G8)."""
    why = "gRPC's tracer prints every bearer token that comes in"
    if environment.get("GRPC_TRACE"):
        notes.add("environment GRPC_TRACE", "is set", why=why, mend="unset it")
    if environment.get("GRPC_VERBOSITY", "").upper() == "DEBUG":
        notes.add("environment GRPC_VERBOSITY", "is DEBUG", why=why, mend="unset it, or set it to ERROR")
    if environment.get("SSLKEYLOGFILE"):
        why = "whoever reads that file can read the answers of AWS STS, keys and all"
        notes.add("environment SSLKEYLOGFILE", "is set", why=why, mend="unset it")


def is_address(text: str) -> bool:
    """Says whether the text is a host and a port; port 0 takes any free one."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > _LAST_PORT:
        return False
    if found["six"] is None:
        return _HOST_NAME.fullmatch(found["host"]) is not None
    try:
        return isinstance(ipaddress.ip_address(found["six"]), ipaddress.IPv6Address)
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Says whether a host is this machine by its own name or address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
