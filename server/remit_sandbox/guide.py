"""What `remit-sandbox up` prints: how to use the running sandbox from another terminal, in lines that can be pasted."""

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from remit_sandbox.issuer import OPERATORS
from remit_sandbox.private_files import write_private
from remit_sandbox.sandbox import Sandbox

LAST_LINE = "Ctrl-C ends everything."
_SCRIPT = '''"""Asks the sandbox for credentials to read s3://reports/2026/q3/ for alice; prints them for a shell."""

import sys

import remit

gateway = remit.Gateway({address!r}, ca_file={ca!r}, certificate_file={certificate!r}, key_file={key!r})
block = gateway.task(
    "summarise Q3",
    subject_token=sys.argv[1],
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


def operator_token_command(sandbox: Sandbox) -> str:
    """Returns the line that signs bob, of the security team, in to the gateway's security side."""
    return (
        f"export REMIT_OPERATOR_TOKEN=$(curl -sSf --cacert {_quoted(sandbox.authority.bundle_path)} "
        f"-u sandbox:{sandbox.issuer.password} -H 'Accept: text/plain' -d user=bob -d client_id={OPERATORS} "
        f"{sandbox.issuer.url}/token)"
    )


def approval_commands(sandbox: Sandbox, python: str) -> list[str]:
    """Returns the lines by which an agent asks to publish, bob approves exactly that, and the agent does it."""
    script = _quoted(write_script(sandbox, "publish.py", _PUBLISHING))
    approvals = f"{python} -m remit_server approvals"
    connection = f"--gateway {sandbox.bearer} --ca-file {_quoted(sandbox.authority.bundle_path)}"
    return [
        f'set -- $({python} {script} "$TOKEN")   # what waits, its digest, and how to come back for it',
        operator_token_command(sandbox),
        f'{approvals} show "$1" {connection}',
        f'{approvals} approve "$1" --digest "$2" --comment \'trying it out\' {connection}',
        f'{python} {script} "$TOKEN" "$3"',
    ]


def operator_commands(sandbox: Sandbox, python: str) -> list[str]:
    """Returns the lines by which bob, of the security team, sees what agents hold for alice, and ends it."""
    connection = f"--gateway {sandbox.bearer} --ca-file {_quoted(sandbox.authority.bundle_path)}"
    grants = f"{python} -m remit_server grants"
    whose = f"--user alice --issuer {sandbox.issuer.url}"
    return [
        operator_token_command(sandbox),
        f"{grants} list {connection}",
        f"{grants} revoke {connection} {whose} --why 'trying it out' --yes",
    ]


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
    python, script = _quoted(sys.executable), _quoted(write_script(sandbox))
    audit, database = f"{python} -m remit_server audit", f"--database {_quoted(sandbox.database)}"
    chapters = (
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
        ("4. what happened", [f"{audit} list {database}", f"{audit} verify {database}"]),
        ("5. what agents hold, and ending it, as bob of the security team", operator_commands(sandbox, python)),
        ("6. what a person has to approve, as alice's copilot and as bob", approval_commands(sandbox, python)),
    )
    console.rule("[bold]The sandbox is running", align="left")
    for label, text in (
        ("gateway", f"{sandbox.mtls} (mTLS), {sandbox.bearer} (bearer)"),
        ("issuer", sandbox.issuer.url),
        ("AWS", f"{sandbox.aws.endpoint_url} (ministack)"),
        ("files", f"{sandbox.folder} (remit.toml, keys, logs, the ledger)"),
    ):
        console.print(f"{label:<9}{escape(text)}", soft_wrap=True)
    console.print("\nLines for another terminal:")
    for title, lines in chapters:
        console.print(f"\n[bold]{escape(title)}")
        for line in lines:
            console.out(f"  {line}", highlight=False)
    console.print(f"\n{LAST_LINE}")


def _quoted(value: object) -> str:
    """Returns a word of a command line as a shell takes it."""
    return shlex.quote(str(value))
