"""What `remit-sandbox up` prints: how to use the running sandbox from another terminal, in lines that can be pasted."""

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.markup import escape

from remit_sandbox.client_lines import client_commands
from remit_sandbox.issuer import OPERATORS
from remit_sandbox.people import PEOPLE
from remit_sandbox.policy_lines import policy_commands
from remit_sandbox.private_files import write_private
from remit_sandbox.sandbox import Sandbox

LAST_LINE = "Ctrl-C ends everything."
_ROLES: Mapping[str, str] = MappingProxyType(
    {
        "alice": "the copilot works for her",
        "bob": "sees and ends what agents hold, approves, reviews",
        "mallory": "agents get nothing for mallory",
    }
)
_SCRIPT = '''"""Asks the sandbox for credentials to read s3://reports/2026/q3/ for alice; prints them for a shell."""

import sys

import remit

gateway = remit.Gateway({address!r}, ca_file={ca!r}, certificate_file={certificate!r}, key_file={key!r})
block = gateway.task(
    "summarise Q3",
    subject_token=sys.argv[1],
    lease=None,  # nobody stays to keep one
    allow=[
        remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/"),
        remit.Capability("s3.list_prefix", bucket="reports", prefix="2026/q3/"),
    ],
)
try:
    task = block.__enter__()  # never left, so not ended: the credentials work until their time guard
except remit.RemitError as error:
    sys.exit(str(error))
credentials = task.credentials()
print(f"export AWS_ACCESS_KEY_ID={{credentials.access_key_id}}")
print(f"export AWS_SECRET_ACCESS_KEY={{credentials.secret_access_key}}")
print(f"export AWS_SESSION_TOKEN={{credentials.session_token}}")
print("export AWS_ENDPOINT_URL={endpoint} AWS_REGION={region} AWS_DEFAULT_REGION={region}")
'''
_PUBLISHING = '''"""Asks to publish a report for alice, which has to be approved; comes back by the request id."""

import sys

import remit

gateway = remit.Gateway({address!r}, ca_file={ca!r}, certificate_file={certificate!r}, key_file={key!r})
report = remit.Permission(["s3:PutObject"], ["arn:aws:s3:::reports/2026/q3/published.md"])
came_back = sys.argv[2] if len(sys.argv) > 2 else None
try:
    with gateway.task("publish Q3", subject_token=sys.argv[1], allow=[report], request_id=came_back) as task:
        s3 = task.boto3_session().client("s3", endpoint_url={endpoint!r})
        s3.put_object(Bucket="reports", Key="2026/q3/published.md", Body=b"# Q3, as published")
        print("published, as approved by", task.grant.approval)
except remit.ApprovalPending as pending:
    print(pending.approval, pending.digest, pending.request_id)
except remit.RemitError as error:
    sys.exit(str(error))
'''

_RESCUE = '''"""Corrects a published report for alice in an emergency, at once; prints the name of the review."""

import sys

import remit

gateway = remit.Gateway({address!r}, ca_file={ca!r}, certificate_file={certificate!r}, key_file={key!r})
report = remit.Permission(["s3:PutObject"], ["arn:aws:s3:::reports/2026/q3/published.md"])
emergency = {{"emergency": "declared"}}
try:
    with gateway.task("correct Q3", subject_token=sys.argv[1], allow=[report], labels=emergency) as task:
        s3 = task.boto3_session().client("s3", endpoint_url={endpoint!r})
        s3.put_object(Bucket="reports", Key="2026/q3/published.md", Body=b"# Q3, corrected")
        print(task.grant.approval)
except remit.RemitError as error:
    sys.exit(str(error))
'''


def write_script(sandbox: Sandbox, name: str = "credentials.py", script: str = _SCRIPT) -> Path:
    """Writes a small script that the guide uses and returns its path."""
    pair = sandbox.agents["copilot"]
    text = script.format(
        address=sandbox.mtls,
        ca=str(sandbox.authority.bundle_path),
        certificate=str(pair.certificate_path),
        key=str(pair.key_path),
        endpoint=sandbox.aws.endpoint_url,
        region=sandbox.aws.region,
    )
    return write_private(sandbox.folder / name, text.encode())


def token_command(sandbox: Sandbox) -> str:
    """Returns the line that signs alice in to the copilot and keeps her token in TOKEN."""
    return (
        f"TOKEN=$(curl -sSf --cacert {_quoted(sandbox.authority.bundle_path)} -u sandbox:{sandbox.issuer.password} "
        f"-H 'Accept: text/plain' -d user=alice -d client_id=copilot {sandbox.issuer.url}/token)"
    )


def operator_command(sandbox: Sandbox) -> str:
    """Returns the line that signs bob in to the gateway's security side, and says where that is."""
    authority = _quoted(sandbox.authority.bundle_path)
    return (
        f"export REMIT_GATEWAY={sandbox.bearer} REMIT_CA_FILE={authority} "
        f"REMIT_OPERATOR_TOKEN=$(curl -sSf --cacert {authority} "
        f"-u sandbox:{sandbox.issuer.password} -H 'Accept: text/plain' -d user=bob -d client_id={OPERATORS} "
        f"{sandbox.issuer.url}/token)"
    )


def approval_commands(sandbox: Sandbox, python: str, server: str) -> list[str]:
    """Returns the lines by which an agent asks to publish, bob approves exactly that, and the agent does it."""
    script = _quoted(write_script(sandbox, "publish.py", _PUBLISHING))
    return [
        f'set -- $({python} {script} "$TOKEN")   # what waits, its digest, and how to come back for it',
        operator_command(sandbox),
        f'{server} approvals show "$1"',
        f'{server} approvals approve "$1" --digest "$2" --comment \'trying it out\'',
        f'{python} {script} "$TOKEN" "$3"',
    ]


def break_glass_commands(sandbox: Sandbox, python: str, server: str) -> list[str]:
    """Returns the lines by which an agent acts at once in an emergency, and bob reviews it afterwards."""
    script = _quoted(write_script(sandbox, "rescue.py", _RESCUE))
    return [
        f'REVIEW=$({python} {script} "$TOKEN")   # done at once, and now waiting for a review',
        operator_command(sandbox),
        f"{server} approvals list",
        f"echo y | {server} approvals approve \"$REVIEW\" --comment 'it was one'   # a deny would revoke the grant",
    ]


def operator_commands(sandbox: Sandbox, server: str) -> list[str]:
    """Returns the lines by which bob, of the security team, sees what agents hold for alice, and ends it."""
    return [
        operator_command(sandbox),
        f"{server} grants list",
        f"{server} grants revoke --user alice --issuer {sandbox.issuer.url} --why 'trying it out' --yes",
        f"sleep 1; {token_command(sandbox)}   # alice signs in again: tokens from before are refused",
    ]


def probe_command(sandbox: Sandbox, server: str) -> str:
    """Returns the line that asks the gateway for what it must refuse, as alice's copilot."""
    pair = sandbox.agents["copilot"]
    fetch = token_command(sandbox).removeprefix("TOKEN=$(").removesuffix(")")
    return (
        f"{server} probe --gateway {sandbox.mtls} --ca-file {_quoted(sandbox.authority.bundle_path)} "
        f"--certificate {_quoted(pair.certificate_path)} --key {_quoted(pair.key_path)} "
        f'--subject alice --subject-token "command:{fetch}"   # ends with 0: everything wrong was refused'
    )


def buf_curl_command(sandbox: Sandbox) -> str:
    """Returns the line that previews the same request by `buf curl`."""
    pair = sandbox.agents["copilot"]
    protos = Path(__file__).resolve().parents[2] / "protos"
    buf = Path(sys.executable).with_name("buf")
    program = str(buf) if buf.exists() else shutil.which("buf") or "buf"
    body = (
        '{"subject_token":"\'"$TOKEN"\'","intent":{"purpose":"summarise Q3","capabilities":'
        '[{"name":"s3.read_prefix","parameters":{"bucket":"reports","prefix":"2026/q3/"}}]}}'
    )
    return (
        f"{_quoted(program)} curl --schema {_quoted(protos)} --protocol grpc "
        f"--cacert {_quoted(sandbox.authority.bundle_path)} "
        f"--cert {_quoted(pair.certificate_path)} --key {_quoted(pair.key_path)} -d '{body}' "
        f"https://{sandbox.mtls}/remit.v1.CredentialService/PreviewCredentials"
    )


def print_guide(console: Console, sandbox: Sandbox) -> None:
    """Prints the guide; the lines are never wrapped, so that they can be pasted."""
    console.rule("[bold]The sandbox is running", align="left")
    for label, text in _introduced(sandbox):
        console.print(f"{label:<9}{escape(text)}", soft_wrap=True)
    console.print("\nLines for another terminal:")
    for title, lines in _chapters(sandbox):
        console.print(f"\n[bold]{escape(title)}")
        for line in lines:
            console.out(f"  {line}", highlight=False)
    console.print(f"\n{LAST_LINE}")


def _introduced(sandbox: Sandbox) -> Iterator[tuple[str, str]]:
    """Yields what is running and who is there."""
    yield "gateway", f"{sandbox.mtls} (mTLS), {sandbox.bearer} (bearer)"
    yield "issuer", sandbox.issuer.url
    yield "AWS", f"{sandbox.aws.endpoint_url} (ministack)"
    yield "files", f"{sandbox.folder} (remit.toml, keys, logs, the ledger)"
    for label, person in zip(("people", "", ""), PEOPLE, strict=True):
        yield label, f"{person.subject} ({', '.join(person.groups)}): {_ROLES[person.subject]}"
    yield "", "Nobody is an administrator: remit.toml has no [administrators]. What bob may do, the policy says."


def _chapters(sandbox: Sandbox) -> tuple[tuple[str, list[str]], ...]:
    """Returns the lines to paste, below their titles."""
    python, script = _quoted(sys.executable), _quoted(write_script(sandbox))
    server = _program("remit-server", "remit_server")
    database = f"--database {_quoted(sandbox.database)}"
    return (
        ("1. sign alice in to the copilot (her token stays in this shell)", [token_command(sandbox)]),
        (
            "2. credentials for one task, in the environment that the aws CLI and boto3 read",
            [
                f'eval "$({python} {script} "$TOKEN")"',
                "aws s3 cp s3://reports/2026/q3/summary.md -",
                "aws s3 cp s3://reports/2026/q2/summary.md -   # AWS refuses",
            ],
        ),
        ("3. what would be issued, by buf curl", [buf_curl_command(sandbox)]),
        (
            "4. what happened, and whose key that is",
            [
                f"{server} audit list {database}",
                f'{server} audit explain "$AWS_ACCESS_KEY_ID" {database}',
                f"{server} audit verify {database}",
            ],
        ),
        (
            "5. what agents hold, and ending all that they hold for alice, as bob of the security team",
            operator_commands(sandbox, server),
        ),
        ("6. what a person has to approve, as alice's copilot and as bob", approval_commands(sandbox, python, server)),
        ("7. break-glass: done at once, reviewed by bob afterwards", break_glass_commands(sandbox, python, server)),
        (
            "8. a change of policy, as bob: checked, compared, replayed, activated, taken back",
            policy_commands(sandbox, python, server, operator_command(sandbox)),
        ),
        (
            "9. any program, as alice's copilot by the remit command (docs/cli.md)",
            client_commands(sandbox, _program("remit", "remit.cli")),
        ),
        ("10. what this gateway must refuse, asked for (docs/probing.md)", [probe_command(sandbox, server)]),
    )


def _program(name: str, module: str) -> str:
    """Returns how a program is called: by its name where that is the one installed here, else by its path."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        return f"{_quoted(sys.executable)} -m {module}"
    found = shutil.which(name)
    return name if found and Path(found).samefile(program) else _quoted(program)


def _quoted(value: object) -> str:
    """Returns a word of a command line as a shell takes it."""
    return shlex.quote(str(value))
