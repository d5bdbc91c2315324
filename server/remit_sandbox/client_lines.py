"""The lines of the guide on the `remit` command: signing in, and programs that know nothing of Remit."""

import json
import shlex
from pathlib import Path
from typing import Final

from remit_sandbox.private_files import write_private
from remit_sandbox.sandbox import Sandbox

_SETTINGS: Final = """\
# Written by the sandbox for the parts that are running; docs/cli.md explains it.

[gateway]
target = {address}
ca_file = {ca}
certificate_file = {certificate}
key_file = {key}

[login]
issuer = {issuer}
client_id = "copilot"
token = "access_token"
ca_file = {ca}

[profiles.reports]
purpose = "summarise Q3"
allow = ["read s3://reports/2026/q3/*"]
region = {region}
"""


def write_settings(sandbox: Sandbox) -> Path:
    """Writes the settings of the `remit` command for alice's copilot, and returns their path."""
    pair = sandbox.agents["copilot"]
    text = _SETTINGS.format(
        address=json.dumps(sandbox.mtls),
        ca=json.dumps(str(sandbox.authority.bundle_path)),
        certificate=json.dumps(str(pair.certificate_path)),
        key=json.dumps(str(pair.key_path)),
        issuer=json.dumps(sandbox.issuer.url),
        region=json.dumps(sandbox.aws.region),
    )
    return write_private(sandbox.folder / "client.toml", text.encode())


def client_commands(sandbox: Sandbox, remit: str) -> list[str]:
    """Returns the lines by which alice signs in, and programs run with what she may hand on."""
    settings = shlex.quote(str(write_settings(sandbox)))
    return [
        "unset REMIT_GATEWAY REMIT_CA_FILE   # they would win over the settings",
        f"export REMIT_CONFIG={settings} AWS_ENDPOINT_URL={sandbox.aws.endpoint_url}",
        f"{remit} login --device   # at its address say alice, and the password {sandbox.issuer.password}",
        f"{remit} whoami",
        f"{remit} run --profile reports -- aws s3 cp s3://reports/2026/q3/summary.md -",
        f"{remit} run --profile reports -- aws s3 cp s3://reports/2026/q2/summary.md -   # AWS refuses",
        f"{remit} run --purpose 'read it all' --allow 'read s3://reports/*' -- aws s3 ls   # refused, with an offer",
        f"{remit} explain CEILING_EXCEEDED   # what that means, and what to do",
        f"{remit} logout",
    ]
