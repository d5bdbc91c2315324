"""The other gateway: each of its parts is another kind than the first one's, and has secrets of its own.

Its ledger is PostgreSQL, reached by TLS with a password, which logs every statement with its parameters; OPA decides,
logs at debug, and pulls a signed bundle that came from a bundle server; it is an issuer itself, whose tokens STS takes.
"""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.background_loop import Background
from tests.bundle_keys import BundleKey, bundle_key
from tests.bundle_web import BundleWeb, bundle_web
from tests.e2e.canaries.journey import Journey
from tests.e2e.canaries.second.repeating import Repeating, RepeatingBundles, repeating
from tests.e2e.canaries.traces import Canaries, private_part, put_secret
from tests.e2e.gateways import OwnGateway, Started, own_gateway
from tests.e2e.sts_relay import StsRelay, sts_relay
from tests.e2e.test_bundle_server import packed
from tests.e2e.test_disabled_user import transmitter_in_background
from tests.e2e.test_web_identity import Account, account
from tests.event_world import RECEIVER
from tests.opa_server import OpaProcess, free_port, opa_server
from tests.real_postgresql import PostgresqlServer
from tests.signing_key_files import fresh_key, put_key
from tests.transmitter import Transmitter

from remit_sandbox.configuration import sample_policies
from remit_sandbox.sandbox import Sandbox

ROLE = "remit_canaries"
FOR_FIGURES = "a scraper's token"
TO_BUNDLES = "a token shown to the bundle server"
LOUD = ("--log-level=debug", "--log-format=text", "--set=decision_logs.console=true")


@dataclass(kw_only=True)
class SecondJourney(Journey):
    """A journey with what only this gateway has beside it."""

    server: PostgresqlServer
    database: str
    opa: OpaProcess
    bundles: BundleWeb
    others: Repeating
    signals: Transmitter
    metrics: str

    @property
    def ledger(self) -> tuple[str, ...]:
        """The options by which commands reach the ledger."""
        files = self.own.log_path.parent / "secrets"
        return "--database", url_of(self.server, self.database), "--password-file", str(files / "a-database-s-password")


def url_of(server: PostgresqlServer, database: str) -> str:
    """Returns where the ledger is."""
    return server.url_over_tls(database, ROLE)


@dataclass(frozen=True)
class Parts:
    """What runs beside it."""

    folder: Path
    canaries: Canaries
    sandbox: Sandbox
    server: PostgresqlServer
    database: str
    at_aws: Account
    opa: OpaProcess
    bundles: BundleWeb
    others: Repeating
    signals: Transmitter
    key: BundleKey
    for_opa: BundleKey
    files: dict[str, str] = field(default_factory=dict)
    metrics: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")

    def put(self, what: str, value: str | None = None) -> str:
        """Puts a secret into a file and returns its path."""
        return put_secret(self.folder, self.canaries, what, value)

    def signing_key(self, what: str, key: Any) -> str:
        """Puts a private key into a file and returns its path."""
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        file = put_secret(self.folder, Canaries(), what, text)
        self.canaries.note(private_part(text), what)
        return file

    def tables(self) -> dict[str, dict[str, object]]:
        """Returns the configuration."""
        return {**self._front(), **self._policy(), **self._told(), **self._tellers()}

    def _front(self) -> dict[str, dict[str, object]]:
        issuer, pair = self.at_aws.issuer, self.sandbox.authority.issue_server(["localhost", "127.0.0.1"])
        put_key(issuer.previous, rsa.generate_private_key(65537, 2048))
        put_key(issuer.coming, fresh_key())
        for file, what in ((issuer.active, "active"), (issuer.coming, "next"), (issuer.previous, "previous")):
            self.canaries.note(private_part(file.read_text()), f"the {what} key of the gateway's own issuer")
        self.canaries.note(private_part(pair.key_path.read_text()), "a server's key")
        return {
            "listen.http": {
                "address": issuer.url.replace("https://localhost", "127.0.0.1"),
                "certificate_file": str(pair.certificate_path),
                "key_file": str(pair.key_path),
            },
            "issuer": {
                "url": issuer.url,
                "signing_key_file": str(issuer.active),
                "next_signing_key_file": str(issuer.coming),
                "previous_signing_key_file": str(issuer.previous),
            },
            "database": {"password_file": self.files["password"]},
            "listen.metrics": {
                "address": self.metrics,
                "certificate_file": str(pair.certificate_path),
                "key_file": str(pair.key_path),
                "token_file": self.put(FOR_FIGURES),
            },
            "aws": {"session_token_file": self.put("a session token of the gateway's own")},
        }

    def _policy(self) -> dict[str, dict[str, object]]:
        for token in (self.opa.token, self.opa.bundle_token):
            self.canaries.note(token, "a token between the gateway and OPA")
        self.canaries.note(private_part(self.for_opa.path.read_text()), "a key that signs bundles for OPA")
        return {
            "policy": {"engine": "opa", "decision_timeout_milliseconds": 5000},
            "policy.opa": {
                "url": self.opa.url,
                "bundle_address": self.opa.bundle_address,
                "token_file": put_secret(self.folder, Canaries(), "shown to OPA", self.opa.token),
                "bundle_token_file": str(self.opa.folder / "bundle-token"),
                "bundle_signing_key_file": str(self.for_opa.path),
                "start_timeout_seconds": 60,
            },
            "policy.bundle_server": {
                "url": self.bundles.url,
                "token_file": put_secret(self.folder, Canaries(), "shown to the bundle server", self.bundles.token),
                "poll_seconds": 1,
            },
            "policy.signing.keys": {"ci": str(self.key.public_path)},
        }

    def _told(self) -> dict[str, dict[str, object]]:
        authority = {"ca_file": str(self.sandbox.authority.bundle_path)}
        path = self.canaries.note(secrets.token_urlsafe(30), "the secret part of a webhook's address")
        return {
            "checkpoints": {
                "url": f"{self.others.url}/checkpoints",
                "signing_key_file": self.signing_key("a key that signs checkpoints", Ed25519PrivateKey.generate()),
                "token_file": self.put("a token shown where checkpoints are kept"),
                "every_seconds": 5,
                "every_records": 1,
                **authority,
            },
            "[notifications]": {
                "name": "chat",
                "format": "slack",
                "url_file": put_secret(self.folder, Canaries(), "chat", f"{self.others.url}/chat/{path}"),
                **authority,
            },
        }

    def _tellers(self) -> dict[str, dict[str, object]]:
        authority = {"ca_file": str(self.sandbox.authority.bundle_path)}
        return {
            "[transmitters]": {
                "alias": "acme",
                "issuer": self.signals.issuer,
                "audience": RECEIVER,
                "algorithms": ["RS256"],
                "users_of": "sandbox",
                "delivery": "poll",
                "poll_url": f"{self.signals.origin}/poll",
                "poll_wait_seconds": 5,
                "access_token_file": self.put("a token shown to a transmitter", self.signals.access_token),
                **authority,
            },
            "[status_polls]": {
                "alias": "directory",
                "users_of": "sandbox",
                "url": f"{self.others.url}/users/{{subject}}",
                "named_by": "sub",
                "token_file": self.put("a token shown to a directory"),
                "status_pointer": "/status",
                "active_values": ["ACTIVE"],
                "every_seconds": 10,
                **authority,
            },
        }


def loud_database(server: PostgresqlServer, canaries: Canaries, folder: Path) -> tuple[str, str]:
    """Makes a database whose role has a password, and that logs all; returns its name and the password's file."""
    file = put_secret(folder, canaries, "a database's password")
    name = server.create()
    server.asked(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{Path(file).read_text()}'")
    server.asked(f"ALTER DATABASE {name} OWNER TO {ROLE}")
    for setting in ("log_statement = 'all'", "log_min_messages = 'debug2'", "log_error_verbosity = 'verbose'"):
        server.asked(f"ALTER DATABASE {name} SET {setting}")
    server.asked(f"ALTER DATABASE {name} SET log_parameter_max_length_on_error = -1")
    return name, file


def _answers_of(transmitter: Transmitter) -> None:
    """Has the transmitter refuse the first poll, with the token that it was shown in the answer."""
    said = f"Bearer {transmitter.access_token}"
    transmitter.answers["poll"] = web.Response(status=401, text=said, headers={"WWW-Authenticate": said})


@contextmanager
def parts_beside(sandbox: Sandbox, folder: Path, server: PostgresqlServer) -> Iterator[Parts]:
    """Runs everything that the gateway needs."""
    canaries = Canaries()
    with ExitStack() as stack:
        database, password = loud_database(server, canaries, folder)
        signals, _ = stack.enter_context(transmitter_in_background(sandbox))
        signals.access_token = secrets.token_urlsafe(30)
        _answers_of(signals)
        key, for_opa = bundle_key(folder / "keys"), bundle_key(folder / "keys", "remit")
        parts = Parts(
            folder,
            canaries,
            sandbox,
            server,
            database,
            stack.enter_context(account(sandbox, folder)),
            stack.enter_context(opa_server(_made(folder.with_name(f"{folder.name}-opa")), *LOUD, *_verifying(for_opa))),
            stack.enter_context(_bundles(canaries)),
            stack.enter_context(repeating(sandbox.authority)),
            signals,
            key,
            for_opa,
            {"password": password},
        )
        parts.bundles.serve(packed(sample_policies(), key, age=timedelta(hours=1)), '"1"')
        yield parts
        server.asked(f"ALTER DATABASE {database} RESET ALL")


def _verifying(key: BundleKey) -> tuple[str, ...]:
    """Returns the options by which OPA takes no bundle that this key did not sign."""
    name = key.settings.key_id
    return (
        f"--set=keys.{name}.algorithm=ES256",
        f"--set-file=keys.{name}.key={key.public_path}",
        f"--set=bundles.remit.signing.keyid={name}",
    )


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return folder


@contextmanager
def _bundles(canaries: Canaries) -> Iterator[BundleWeb]:
    background = Background()
    running = bundle_web(make=partial(RepeatingBundles, token=canaries.note(secrets.token_urlsafe(30), TO_BUNDLES)))
    try:
        yield background.run(running.__aenter__())
        background.run(running.__aexit__(None, None, None))
    finally:
        background.stop()


@contextmanager
def second_gateway(parts: Parts, started: Started) -> Iterator[tuple[OwnGateway, StsRelay]]:
    """Runs the gateway; its calls to STS go through a relay."""
    with sts_relay(parts.at_aws.sts.url) as relay:
        values = {
            "url": url_of(parts.server, parts.database),
            "endpoint_url": relay.url,
            "assumed_by": "web_identity",
        }
        with own_gateway(parts.sandbox, parts.folder, values, parts.tables(), started=started) as own:
            yield own, relay
