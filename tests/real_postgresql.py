"""The real PostgreSQL, where there is one: started for the tests, in a folder of its own, and stopped after them."""

import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from remit_sandbox.certificates import Authority

OWNER = "postgres"  # of the server's processes where the tests run as root, whom PostgreSQL refuses to serve
START_SECONDS = 60.0
_PLAIN = ("--no-sync", "--locale=C", "--encoding=UTF8", "--auth-local=trust", "--auth-host=scram-sha-256")
_SETTINGS = {
    "autovacuum": "off",
    "jit": "off",
    "ssl": "on",
    "ssl_cert_file": "server.pem",
    "ssl_key_file": "server.key",
}


def find_postgresql() -> Path:
    """Returns the folder of the server's programs; without one the test is skipped, or fails where it must be there."""
    named = os.environ.get("REMIT_POSTGRESQL")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    places = [Path(named)] if named else [*installed, *([Path(on_path).resolve().parent] if on_path else [])]
    for place in places:
        if os.access(place / "initdb", os.X_OK) and os.access(place / "postgres", os.X_OK):
            return place
    why = "no PostgreSQL server: `apt-get install postgresql`, or set REMIT_POSTGRESQL to the folder of initdb"
    if os.environ.get("REMIT_REQUIRE_REAL") == "1":
        pytest.fail(why)
    pytest.skip(why)


@dataclass
class PostgresqlServer:
    """A server that listens on a unix socket, where everybody is trusted, and on loopback with TLS and passwords."""

    folder: Path
    programs: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def sockets(self) -> Path:
        """The folder of its unix socket, which only its owner and root enter."""
        return self.folder / "sockets"

    @property
    def password_file(self) -> Path:
        """The file with the password of its owner's role."""
        return self.folder / "password"

    @property
    def authorities(self) -> Path:
        """The file of the authority that its certificate comes from."""
        return self.folder / "tls" / "ca.pem"

    def url(self, database: str, user: str = OWNER) -> str:
        """Returns the URL of a database over the unix socket."""
        return f"postgresql://{user}@/{database}?host={self.sockets}&port={self.port}"

    def url_over_tls(self, database: str, user: str = OWNER, port: int | None = None) -> str:
        """Returns the URL of a database over loopback."""
        options = f"sslmode=verify-full&sslrootcert={self.authorities}"
        return f"postgresql://{user}@localhost:{port or self.port}/{database}?{options}"

    def asked(self, statement: str, database: str = "postgres", user: str = OWNER) -> list[tuple[Any, ...]]:
        """Runs one statement by itself, as somebody beside the gateway would."""
        with closing(psycopg.connect(self.url(database, user), autocommit=True)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, template: str = "template0", tablespace: Path | None = None) -> str:
        """Creates a database and returns its name; with a tablespace, its tables are in that folder."""
        name, where = f"ledger_{next(self._numbers)}", ""
        if tablespace is not None:
            _give(tablespace)
            self.asked(f"CREATE TABLESPACE {name} LOCATION '{tablespace}'")
            where = f" TABLESPACE {name}"
        self.asked(f"CREATE DATABASE {name} TEMPLATE {template}{where}")
        return name

    def drop(self, name: str) -> None:
        """Drops a database, whoever is connected."""
        self.asked(f"DROP DATABASE {name} WITH (FORCE)")

    def initialize(self) -> None:
        """Makes its files, and the certificate that it shows on loopback."""
        for folder in (self.folder / "data", self.sockets):
            folder.mkdir(mode=0o700)
            _give(folder)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_hex())
        _give(self.password_file)
        roles = (f"--username={OWNER}", f"--pwfile={self.password_file}")
        subprocess.run(  # noqa: S603 - the server's own program
            [*_as_owner(), str(self.programs / "initdb"), f"--pgdata={self.folder / 'data'}", *_PLAIN, *roles],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=START_SECONDS,
        )
        pair = Authority.create(self.folder / "tls").issue_server(["localhost", "127.0.0.1"])
        for name, path in (("server.pem", pair.certificate_path), ("server.key", pair.key_path)):
            _give(Path(shutil.copy(path, self.folder / "data" / name)))

    def start(self) -> None:
        """Starts it and returns once it answers; a port that somebody else has taken meanwhile is chosen anew."""
        for _ in range(3):
            self.port = self.port or _free_port()
            settings = {
                **_SETTINGS,
                "port": str(self.port),
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": str(self.sockets),
            }
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(  # noqa: S603 - the server itself
                    [*_as_owner(), str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            if self._answers():
                return
            self.port = 0
        pytest.fail((self.folder / "log").read_text())

    def stop(self) -> None:
        """Stops it without waiting for its clients, as an operator would; does nothing where it has ended."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.crash()
                raise
            self.process = None

    def crash(self) -> None:
        """Ends all of it at once, as a power cut would."""
        assert self.process is not None
        children = self.children()
        self.process.kill()
        self.process.wait(START_SECONDS)
        self.process = None
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(Path(f"/proc/{pid}").exists() for pid in children):  # until then its memory is in use
            time.sleep(0.01)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Has every process of it stand still for a while: it takes what it is sent and answers nothing."""
        assert self.process is not None
        stopped = [self.process.pid, *self.children()]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def children(self) -> list[int]:
        """Returns the process ids of its backends and helpers."""
        assert self.process is not None
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def _answers(self) -> bool:
        """Waits until it answers; says no when it has ended instead."""
        assert self.process is not None
        end = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < end:
            try:
                self.asked("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        return False


@contextmanager
def postgresql_server() -> Iterator[PostgresqlServer]:
    """Runs a server of its own, and leaves nothing of it behind."""
    programs = find_postgresql()
    folder = Path(tempfile.mkdtemp(prefix="remit-postgresql-"))
    folder.chmod(0o711)  # its owner goes through to what is its own
    server = PostgresqlServer(folder, programs)
    try:
        server.initialize()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _as_owner() -> list[str]:
    """Returns what runs a program as its unprivileged owner, and ends it with this process."""
    owner = [f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *owner, "--pdeathsig", "QUIT", "--"]


def _give(path: Path) -> None:
    """Gives a file to the server's owner."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(OWNER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as held:
        port: int = held.getsockname()[1]
        return port
