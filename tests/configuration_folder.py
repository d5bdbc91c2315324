"""A right configuration in a folder of its own, for tests to spoil: files, certificates and a compact `remit.toml`."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bundle_keys import bundle_key
from tests.signing_key_files import put_key
from tests.token_forge import ec_key

from remit_sandbox.certificates import Authority

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
TEXT = """
[listen]
[listen.mtls]
address = "127.0.0.1:8443"
certificate_file = "tls/server.pem"
key_file = "tls/server.key"
client_ca_file = "tls/agents-ca.pem"
trust_domains = ["acme.example"]
[listen.bearer]
address = "127.0.0.1:8444"
certificate_file = "tls/server.pem"
key_file = "tls/server.key"

[[issuers]]
issuer = "https://login.acme.example"
alias = "acme"
audience = "remit"
algorithms = ["RS256"]
actors = true
[[issuers]]
issuer = "https://people.acme.example"
alias = "people"
audience = "remit"
algorithms = ["ES256"]

[[agents]]
id = "copilot"
spiffe_id = "spiffe://acme.example/copilot"
[[agents]]
id = "reporter"
issuer = "https://login.acme.example"
subject = "reporter-service"

[[roles]]
arn = "arn:aws:iam::111122223333:role/remit-reports"
ceiling_file = "ceilings/remit-reports.json"
[[roles]]
arn = "arn:aws:iam::111122223333:role/remit-data"
ceiling_file = "ceilings/remit-reports.json"

[policy]
bundle = "policies"

[aws]
region = "eu-central-1"

[database]
url = "sqlite:///data/remit.db"
"""


@dataclass(frozen=True, slots=True)
class ConfigurationFolder:
    """A folder with everything a configuration names; `write` puts a `remit.toml` into it."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "ConfigurationFolder":
        """Makes the certificates, ceilings, secrets and folders that the configuration names."""
        authority = Authority.create(folder / "authority")
        pair = authority.issue_server(("localhost",))
        for name in ("tls", "data", "secrets"):
            (folder / name).mkdir()
        shutil.copy(pair.certificate_path, folder / "tls/server.pem")
        shutil.copy(pair.key_path, folder / "tls/server.key")
        for name in ("agents-ca", "issuer-ca", "sts-ca", "opa-ca", "bundles-ca"):
            shutil.copy(authority.bundle_path, folder / f"tls/{name}.pem")
        for name in (
            "external-id",
            "database-password",
            "aws-secret-access-key",
            "aws-session-token",
            "opa-token",
            "opa-bundle-token",
            "bundle-signing.key",
            "bundles-token",
            "checkpoints.key",
            "checkpoints-token",
            "metrics-token",
            "collector-token",
        ):
            (folder / "secrets" / name).write_text(f"value-of-{name}\n")
            (folder / "secrets" / name).chmod(0o600)
        for name in ("ssf-acme", "ssf-access-token", "ssf-partner-access-token", "webhook-hr", "directory-token"):
            (folder / "secrets" / name).write_text(f"value-of-{name}-0123456789abcdef\n")
            (folder / "secrets" / name).chmod(0o600)
        (folder / "secrets/issuer").mkdir()
        bundle_key(folder / "keys", "bundles-ci-2026")
        put_key(folder / "secrets/issuer/active.pem", ec_key())
        for name, value in (
            ("notifications", "0123456789abcdef" * 2),
            ("slack-url", "https://hooks.slack.example/T0/B0/x"),
        ):
            (folder / "secrets" / name).write_text(f"{value}\n")
            (folder / "secrets" / name).chmod(0o600)
        shutil.copytree(DEPLOY / "ceilings", folder / "ceilings")
        shutil.copytree(DEPLOY.parent / "policies", folder / "policies")
        return cls(folder)

    def write(self, text: str = TEXT) -> Path:
        """Writes `remit.toml` and returns its path."""
        path = self.folder / "remit.toml"
        path.write_text(text, encoding="utf-8")
        return path
