"""`remit run` on the live sandbox: a program that knows nothing of Remit does what its task allows, and no more."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.machines import BIN, PATIENCE, Machine, machine

from remit_sandbox.sandbox import Sandbox

READS = """
import boto3, sys
s3 = boto3.client("s3")
print(s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read().decode())
try:
    s3.get_object(Bucket="reports", Key="2026/q2/summary.md")
except s3.exceptions.ClientError as error:
    print(error.response["Error"]["Code"])
"""
SHOWS = "import json, os; print(json.dumps(dict(os.environ)))"
ALLOW = ("--purpose", "summarise Q3", "--allow", "s3:GetObject=arn:aws:s3:::reports/2026/q3/*")


@pytest.fixture
def mine(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> Machine:
    return machine(sandbox, tmp_path, alice_token)


@contextmanager
def running(mine: Machine, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Starts `remit run` and ends it at the end of the block."""
    with subprocess.Popen(  # noqa: S603 - the test's own command
        [str(BIN / "remit"), "run", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=mine.environ,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_boto3_reads_what_the_task_allows_and_is_refused_the_rest(mine: Machine) -> None:
    done = mine.remit("run", *ALLOW, "--", sys.executable, "-c", READS)

    assert done.returncode == 0, done.stderr
    assert "Revenue 857" in done.stdout
    assert "AccessDenied" in done.stdout
    assert done.stderr.startswith("remit: task ")
    assert "s3:GetObject on arn:aws:s3:::reports/2026/q3/*" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_profile_says_the_same(mine: Machine) -> None:
    done = mine.remit("run", "--quiet", "--profile", "reports", "--", sys.executable, "-c", READS)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Revenue 857" in done.stdout


def test_ambient_keys_profiles_and_files_do_not_win(mine: Machine) -> None:
    folder = mine.folder / "home" / ".aws"
    folder.mkdir()
    keys = "aws_access_key_id = AKIAFILE\naws_secret_access_key = made-up\n"
    (folder / "credentials").write_text(f"[default]\n{keys}[other]\n{keys}")
    (folder / "config").write_text("[profile other]\nregion = eu-west-1\n")
    ambient = {
        "AWS_ACCESS_KEY_ID": "AKIAAMBIENT",
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_SESSION_TOKEN": "made-up",
        "AWS_PROFILE": "other",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/made/up",
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/made-up",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/made-up",
    }

    done = mine.remit("run", "--quiet", *ALLOW, "--", sys.executable, "-c", READS, **ambient)

    assert done.returncode == 0, done.stderr
    assert "Revenue 857" in done.stdout


def test_the_command_inherits_no_token_and_no_aws_setting_that_names_another(mine: Machine, alice_token: str) -> None:
    given = {"REMIT_SUBJECT_TOKEN": alice_token, "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_PROFILE": "x", "EDITOR": "vi"}

    done = mine.remit("run", "--quiet", *ALLOW, "--", sys.executable, "-c", SHOWS, **given)

    environ = json.loads(done.stdout)
    assert alice_token not in done.stdout
    assert {name for name in environ if name.startswith(("AWS_", "REMIT_"))} == {
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
    assert environ["EDITOR"] == "vi"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 128 + 15),
    ],
    ids=["its own", "killed", "ended"],
)
def test_the_exit_code_is_the_commands(program: str, code: int, mine: Machine) -> None:
    assert mine.remit("run", *ALLOW, "--", sys.executable, "-c", program).returncode == code


@pytest.mark.parametrize(("command", "code"), [("/no/such/command", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_run_is_told_as_shells_do(command: str, code: int, mine: Machine) -> None:
    done = mine.remit("run", "--quiet", *ALLOW, "--", command)

    assert done.returncode == code
    assert command in done.stderr


def test_a_signal_goes_on_to_the_command_and_the_task_ends_with_it(mine: Machine) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )

    with running(mine, *ALLOW, "--", sys.executable, "-c", program) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        task_id = process.stderr.readline().split()[2]
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)

    assert code == 3
    assert "ended" in mine.remit("end", task_id).stdout


REFUSED = {
    "refused": (("--allow", "s3:GetObject=arn:aws:s3:::payroll/*"), 80, "CEILING_EXCEEDED"),
    "a wildcard where a literal belongs": (("--allow", "s3.read_prefix bucket=* prefix=x/"), 85, "INVALID_REQUEST"),
    "an unknown short form": (("--allow", "peek s3://reports/*"), 85, "INVALID_REQUEST"),
    "no profile of that name": (("--profile", "nothing"), 85, "INVALID_SETTINGS"),
    "nothing asked for": ((), 85, "INVALID_SETTINGS"),
    "no duration": (("--profile", "reports", "--duration", "soon"), 85, "INVALID_REQUEST"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_command_is_not_started_when_there_are_no_credentials(case: str, mine: Machine) -> None:
    options, code, reason = REFUSED[case]

    done = mine.remit("run", "--purpose", "p", *options, "--", "touch", "was-run")

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"{reason}: ")
    assert "what to do: " in done.stderr or "\n" in done.stderr
    assert not (mine.folder / "was-run").exists()


def test_a_gateway_that_is_not_there_is_told(mine: Machine) -> None:
    done = mine.remit("run", *ALLOW, "--", "true", REMIT_GATEWAY="127.0.0.1:1")

    assert done.returncode == 83
    assert done.stderr.startswith("UNAVAILABLE: the gateway at 127.0.0.1:1 cannot be reached")


def test_a_token_that_is_over_is_told_as_a_sign_in(mine: Machine, sandbox: Sandbox) -> None:
    token = sandbox.issuer.token("alice", client_id="copilot", iat=1_700_000_000, exp=1_700_000_300)

    done = mine.remit("run", *ALLOW, "--", "true", REMIT_SUBJECT_TOKEN=token)

    assert done.returncode == 82
    assert done.stderr.startswith("SUBJECT_TOKEN_REJECTED: ")
    assert token not in done.stderr
