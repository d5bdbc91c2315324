"""The sandbox's `remit.toml`: a real configuration, written for the parts that are running."""

import json
from pathlib import Path

from remit_sandbox.certificates import Authority, KeyPair
from remit_sandbox.errors import SandboxError
from remit_sandbox.issuer import LocalIssuer
from remit_sandbox.private_files import private_folder, write_private
from remit_sandbox.sample_account import SampleAccount, role_policies

TRUST_DOMAIN = "remit.sandbox"
AGENTS = {name: f"spiffe://{TRUST_DOMAIN}/agent/{name}" for name in ("copilot", "crawler")}
_CONFIGURATION = """\
# Written by the sandbox for the parts that are running; `remit-server config check --config` explains it.

[listen.mtls]
address = {mtls}
certificate_file = {certificate}
key_file = {key}
client_ca_file = {authority}
trust_domains = [{trust_domain}]

[listen.bearer]
address = {bearer}
certificate_file = {certificate}
key_file = {key}

[[issuers]]
issuer = {issuer}
alias = "sandbox"
audience = "remit"
algorithms = ["RS256"]
actors = true
allowed_hosts = ["127.0.0.1"]
ca_file = {authority}
source_claim = "email"
operator_audience = "remit-operators"

{agents}
[[agents]]
id = "reporter"
issuer = {issuer}
subject = "reporter"
client_ids = ["sandbox:reporter"]

{roles}
[policy]
bundle = {bundle}

[aws]
region = {region}
endpoint_url = {endpoint_url}
access_key_id = {access_key_id}
secret_access_key_file = {secret_file}

[revocation]
iam_endpoint_url = {aws_url}
ec2_endpoint_url = {aws_url}

[database]
url = {database}
"""
_AGENT = """\
[[agents]]
id = {id}
spiffe_id = {spiffe_id}
client_ids = [{client}]
"""
_ROLE = """\
[[roles]]
arn = {arn}
ceiling_file = {ceiling}
assumed_by = "user"
"""


def write_configuration(
    folder: Path,
    *,
    authority: Authority,
    server: KeyPair,
    issuer: LocalIssuer,
    sts_url: str,
    aws_url: str,
    account: SampleAccount,
    mtls: str,
    bearer: str,
) -> Path:
    """Writes `remit.toml`, the ceilings and the gateway's AWS key into the folder; returns the configuration's path."""
    ceilings = private_folder(folder / "ceilings")
    for name, policy in role_policies().items():
        write_private(ceilings / f"{name}.json", policy.encode())
    secret = write_private(folder / "aws-secret-access-key", account.gateway_keys.secret_access_key.encode())
    text = _CONFIGURATION.format(
        mtls=_quoted(mtls),
        bearer=_quoted(bearer),
        certificate=_quoted(server.certificate_path),
        key=_quoted(server.key_path),
        authority=_quoted(authority.bundle_path),
        trust_domain=_quoted(TRUST_DOMAIN),
        issuer=_quoted(issuer.url),
        agents="\n".join(
            _AGENT.format(id=_quoted(name), spiffe_id=_quoted(item), client=_quoted(f"sandbox:{name}"))
            for name, item in AGENTS.items()
        ),
        roles="\n".join(
            _ROLE.format(arn=_quoted(arn), ceiling=_quoted(ceilings / f"{name}.json"))
            for name, arn in account.role_arns.items()
        ),
        bundle=_quoted(sample_policies()),
        region=_quoted(account.region),
        endpoint_url=_quoted(sts_url),
        aws_url=_quoted(aws_url),
        access_key_id=_quoted(account.gateway_keys.access_key_id),
        secret_file=_quoted(secret),
        database=_quoted(f"sqlite:///{folder / 'remit.sqlite3'}"),
    )
    return write_private(folder / "remit.toml", text.encode())


def sample_policies() -> Path:
    """Returns the folder of the default policy: in a checkout `policies/`, in an installed package beside this file."""
    here = Path(__file__).resolve().parent
    for folder in (here / "policies", here.parents[1] / "policies"):
        if (folder / ".manifest").is_file():
            return folder
    raise SandboxError("the default policy is not there: run from a checkout, or install 'remit[sandbox]' again")


def _quoted(value: object) -> str:
    """Returns a TOML string: JSON's escapes are TOML's as well."""
    return json.dumps(str(value), ensure_ascii=False)
