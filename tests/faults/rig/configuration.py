"""The configuration of a gateway whose every dependency is elsewhere: who is who, and where everything is."""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.fake_sts import ACCESS_KEY_ID, SECRET_ACCESS_KEY, FakeRole
from tests.sts_log import LOG, Ceiling

from remit_sandbox.certificates import Authority, KeyPair
from remit_sandbox.configuration import AGENTS, TRUST_DOMAIN, sample_policies
from remit_sandbox.private_files import write_private
from remit_sandbox.sample_account import ACCOUNT_ID, role_policies
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.sources.building import built

ROLES = ("remit-reports", "remit-data")


@dataclass(frozen=True, slots=True)
class Identities:
    """Who is who on a stage, and by which contexts proxies serve and ask."""

    folder: Path
    authority: Authority
    server: KeyPair
    agents: Mapping[str, KeyPair]
    serves: ssl.SSLContext
    asks: ssl.SSLContext

    @classmethod
    def made(cls, folder: Path) -> "Identities":
        """Makes certificates and contexts."""
        authority = Authority.create(folder / "authority")
        server = authority.issue_server(["localhost", "127.0.0.1"])
        serves = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        serves.load_cert_chain(server.certificate_path, server.key_path)
        asks = ssl.create_default_context(cafile=str(authority.bundle_path))
        agents = {name: authority.issue_client(AGENTS[name]) for name in AGENTS}
        return cls(folder, authority, server, agents, serves, asks)

    def channel(self, address: str, agent: str = "copilot") -> grpc.aio.Channel:
        """Opens a channel of an agent's own to a gateway."""
        pair = self.agents[agent]
        files = (self.authority.bundle_path, pair.key_path, pair.certificate_path)
        credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
        return grpc.aio.secure_channel(address, credentials, (("grpc.use_local_subchannel_pool", 1),))


def as_toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Returns tables as TOML; a name that ends with `[]` is one of a list."""

    def head(name: str) -> str:
        return f"[[{name.partition('[]')[0]}]]" if "[]" in name else f"[{name}]"

    lines = (
        "\n".join([head(name), *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""])
        for name, table in tables.items()
    )
    return "\n".join(lines)


def front(who: Identities, issuers: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Returns the tables of who calls and whose word is taken: issuers by alias, and the agents."""
    authority = str(who.authority.bundle_path)
    tables: dict[str, dict[str, object]] = {
        "listen.mtls": {
            "address": "127.0.0.1:0",
            "certificate_file": str(who.server.certificate_path),
            "key_file": str(who.server.key_path),
            "client_ca_file": authority,
            "trust_domains": [TRUST_DOMAIN],
        }
    }
    for alias, url in issuers.items():
        tables[f"issuers[]{alias}"] = {
            "issuer": url,
            "alias": alias,
            "audience": "remit",
            "algorithms": ["RS256", "ES256"],
            "ca_file": authority,
            "source_claim": "email",
        }
    for name in who.agents:
        clients = [f"{alias}:copilot" for alias in issuers]
        tables[f"agents[]{name}"] = {"id": name, "spiffe_id": AGENTS[name], "client_ids": clients}
    return tables


def back(who: Identities, sts: str, ledger: str) -> dict[str, dict[str, object]]:
    """Returns the tables of what is issued, by whom, and where that is recorded."""
    tables: dict[str, dict[str, object]] = {}
    for name in ROLES:
        policy = (resources.files("remit_sandbox") / "roles" / f"{name}.json").read_bytes()
        ceiling = write_private(who.folder / f"{name}.json", policy)
        arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{name}"
        tables[f"roles[]{name}"] = {"arn": arn, "ceiling_file": str(ceiling), "assumed_by": "user"}
    tables["aws"] = {
        "region": "eu-central-1",
        "endpoint_url": sts,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key_file": str(write_private(who.folder / "secret", SECRET_ACCESS_KEY.encode())),
        "requests_per_second": 600.0,
        "burst": 1000,
        "timeout_seconds": 1.0,
    }
    tables["database"] = {"url": ledger}
    plenty = ("requests_per_minute", "previews_per_minute", "requests_per_minute_per_subject")
    tables["limits"] = dict.fromkeys(plenty, 100_000)
    return tables


def fake_roles() -> tuple[FakeRole, ...]:
    """Returns the roles of the account as the fake STS knows them."""
    return tuple(FakeRole(f"arn:aws:iam::{ACCOUNT_ID}:role/{name}", chained=False) for name in ROLES)


def pem_of(key: Ed25519PrivateKey) -> bytes:
    """Returns a private key as its file holds it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def note_ceilings() -> None:
    """Tells the log of invariant I3 what the running test's roles may be used for."""
    for name, policy in role_policies().items():
        LOG.configure(f"arn:aws:iam::{ACCOUNT_ID}:role/{name}", Ceiling(policy))


def sample_archive(tag: str = "") -> bytes:
    """Returns the sample policies as a bundle server offers them, unsigned; of a revision of its own for each tag."""
    files = dict(read_files(sample_policies()))
    if tag:
        name = next(name for name in files if name.endswith("entitlements/data.yaml"))
        files[name] = files[name] + f"# {tag}\n".encode()
    return archive_of_files(built(files, datetime.now(UTC)).files)
