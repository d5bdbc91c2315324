"""`remit run` on the live sandbox: a program that knows nothing of Remit does what its task allows, and no more."""

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.gateways import own_gateway
from tests.e2e.machines import BIN, PATIENCE, Machine, machine
from tests.e2e.test_crash import bodies
from tests.e2e.test_gone_with_the_task import until

from remit_sandbox.certificates import Authority
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


@pytest.mark.parametrize("command", ["/no/such/command", "no-such-command"])
def test_no_task_is_begun_for_a_command_that_is_not_there(mine: Machine, command: str) -> None:
    done = mine.remit("run", *ALLOW, "--", command, REMIT_GATEWAY="127.0.0.1:1")

    assert done.returncode == 127  # and not that of the gateway, which nobody asked
    assert "there is no command" in done.stderr


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


def test_the_command_inherits_no_file_but_the_three_of_every_program(mine: Machine) -> None:
    program = "import os; print(sorted(int(name) for name in os.listdir('/proc/self/fd') if int(name) > 2))"

    done = mine.remit("run", "--quiet", *ALLOW, "--", sys.executable, "-c", program)

    assert done.stdout == "[3]\n"  # the folder that is being listed


def test_a_command_gets_signals_as_its_parents_parent_left_them(mine: Machine) -> None:
    program = (
        "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "
        "signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    )

    done = mine.remit("run", "--quiet", *ALLOW, "--", sys.executable, "-c", program)

    assert done.stdout == "[] True\n"


def test_a_terminals_interrupt_reaches_the_command_once(mine: Machine) -> None:
    program = (
        "import signal, sys, time\n"
        "count = []\n"
        "signal.signal(signal.SIGINT, lambda *_: count.append(1))\n"
        "print('ready', flush=True)\n"
        "end = time.monotonic() + 60\n"
        "while not count and time.monotonic() < end: time.sleep(0.05)\n"
        "time.sleep(1)\n"
        "print(f'interrupted {len(count)} times', flush=True)\n"
    )
    main, terminal = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - the test's own command
        [str(BIN / "remit"), "run", "--quiet", *ALLOW, "--", sys.executable, "-c", program],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=mine.environ,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the way to a terminal of its own
    )
    os.close(terminal)
    try:
        said = b""
        while b"ready" not in said:
            said += os.read(main, 1024)
        os.write(main, b"\x03")
        while b"times" not in said:
            said += os.read(main, 1024)
        code = process.wait(PATIENCE)
    finally:
        process.kill()
        os.close(main)

    assert b"interrupted 1 times" in said
    assert code == 0


def test_the_gateway_keeps_a_lease_of_the_task_for_when_remit_is_killed(
    sandbox: Sandbox, tmp_path: Path, alice_token: str
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    with own_gateway(sandbox, folder) as gateway:
        mine = machine(sandbox, tmp_path, alice_token, target=gateway.mtls)
        with running(mine, *ALLOW, "--", "sleep", "60") as process:
            assert process.stderr is not None
            task_id = process.stderr.readline().split()[2]
            until(lambda: bool(bodies(folder / "ledger.sqlite3", "lease_taken")))
            leases = [body["task_id"] for body in bodies(folder / "ledger.sqlite3", "lease_taken")]
            os.killpg(process.pid, signal.SIGKILL)

    assert leases == [task_id]


def test_a_pending_approval_is_told_or_waited_for_and_withdrawn_when_interrupted(mine: Machine) -> None:
    publish = ("--purpose", "publish Q3", "--allow", "s3:PutObject=arn:aws:s3:::reports/2026/q3/published.md")

    told = mine.remit("run", *publish, "--", "true")
    with running(mine, "--wait", *publish, "--", "true") as process:
        assert process.stderr is not None
        waiting = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        code = process.wait(PATIENCE)

    assert told.returncode == 81
    assert told.stderr.startswith("APPROVAL_PENDING: ")
    assert "--request-id" in told.stderr
    assert waiting.startswith("remit: waiting: ")
    assert code == 128 + signal.SIGINT


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
    assert done.stderr.startswith(
        "UNAVAILABLE: the gateway at 127.0.0.1:1 cannot be reached: nothing listens at port 1 there"
    )
    assert "REMIT_GATEWAY says the address" in done.stderr


def test_a_gateway_that_is_not_trusted_is_told_in_our_words_alone_with_the_file(mine: Machine, tmp_path: Path) -> None:
    roots = Authority.create(tmp_path / "theirs").bundle_path

    done = mine.remit("run", *ALLOW, "--", "true", REMIT_CA_FILE=str(roots))

    first, *rest = done.stderr.splitlines()
    assert done.returncode == 83
    assert f"cannot be reached: ca_file {roots} does not vouch for its certificate (" in first
    assert [line.partition(":")[0].strip() for line in rest] == ["what to do", "request id", "on a command line"]


def test_a_command_inherits_no_variable_that_keeps_grpc_quiet(mine: Machine) -> None:
    done = mine.remit("run", *ALLOW, "--", sys.executable, "-c", SHOWS)

    assert done.returncode == 0, done.stderr
    assert "GRPC_VERBOSITY" not in json.loads(done.stdout)


def test_a_token_that_is_over_is_told_as_a_sign_in(mine: Machine, sandbox: Sandbox) -> None:
    token = sandbox.issuer.token("alice", client_id="copilot", iat=1_700_000_000, exp=1_700_000_300)

    done = mine.remit("run", *ALLOW, "--", "true", REMIT_SUBJECT_TOKEN=token)

    assert done.returncode == 82
    assert done.stderr.startswith("SUBJECT_TOKEN_REJECTED: ")
    assert token not in done.stderr
