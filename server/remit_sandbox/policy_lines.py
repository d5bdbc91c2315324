"""The lines of the guide on policies: one is changed, compared, published, replayed, activated, and gone back from."""

import shlex
from pathlib import Path
from typing import Final

from remit_sandbox.configuration import sample_policies
from remit_sandbox.private_files import write_private
from remit_sandbox.sandbox import Sandbox

_CATALOGUE: Final = "remit/catalog/entitlements/data.yaml"
_SALARIES: Final = "arn:aws:s3:::reports/hr/salaries.csv"
_ASKING: Final = '''"""Asks the sandbox for any permission for alice: python ask.py TOKEN ACTION RESOURCE."""

import sys

import remit

gateway = remit.Gateway({address!r}, ca_file={ca!r}, certificate_file={certificate!r}, key_file={key!r})
_, token, action, resource = sys.argv
try:
    with gateway.task("try a policy", subject_token=token, allow=remit.Permission([action], [resource])) as task:
        print(f"ISSUED", action, "on", resource, "by policy revision", task.grant.policy_revision[:12])
except remit.RemitError as error:
    sys.exit(str(error))
'''


def write_asking(sandbox: Sandbox) -> Path:
    """Writes the script by which alice's copilot asks for any permission, and returns its path."""
    pair = sandbox.agents["copilot"]
    text = _ASKING.format(
        address=sandbox.mtls,
        ca=str(sandbox.authority.bundle_path),
        certificate=str(pair.certificate_path),
        key=str(pair.key_path),
    )
    return write_private(sandbox.folder / "ask.py", text.encode())


def policy_commands(sandbox: Sandbox, python: str, server: str, signing_in: str) -> list[str]:
    """Returns the lines by which bob changes a line of the policy and takes it back; `signing_in` makes him known."""
    ask = f'{python} {shlex.quote(str(write_asking(sandbox)))} "$TOKEN" s3:GetObject {_SALARIES}'
    copy, config = shlex.quote(str(sandbox.folder / "policies")), shlex.quote(str(sandbox.config))
    policy, bundle = f"{server} policy", '--bundle "$POLICIES"'
    html = '--format html --output "$POLICIES.html"   # open it in a browser'
    return [
        signing_in,
        f'POLICIES={copy}; rm -rf "$POLICIES"; cp -r {shlex.quote(str(sample_policies()))} "$POLICIES"',
        f'CATALOGUE="$POLICIES/{_CATALOGUE}"   # change it in an editor, or by the next line',
        'sed "s#reports/2026/[*]#reports/*#" "$CATALOGUE" > "$POLICIES.new" && mv "$POLICIES.new" "$CATALOGUE"',
        f'REVISION=$({policy} stamp {bundle} | cut -d" " -f2)',
        f"{policy} check {bundle} --config {config}",
        f"{policy} test {bundle}   # the catalogue's test fails: who widens it says there that it was meant",
        f'{policy} diff active "$POLICIES" --ci   # ends with 1: it widens',
        f"{policy} publish {bundle}",
        f'{policy} replay --against "$REVISION" --since 1d {html}',
        f"{ask}   # refused: it decides nothing yet",
        f"{policy} activate \"$REVISION\" --why 'trying it out'",
        f"{ask}   # issued",
        f"{policy} rollback --why 'it lets too much' --revoke-issued --yes",
        f"{ask}   # refused again",
    ]
