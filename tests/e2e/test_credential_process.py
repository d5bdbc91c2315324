"""`remit credential-process` and `remit endpoint` on the live sandbox: what profiles of unmodified tools share."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.gateways import own_gateway
from tests.e2e.machines import BIN, PATIENCE, Machine, machine
from tests.e2e.sts_relay import sts_relay
from tests.e2e.test_gone_with_the_task import revoke, until
from tests.e2e.test_remit_run import READS

from remit_sandbox.sandbox import Sandbox

BY_PROFILE = ("credential-process", "--profile", "reports")


@pytest.fixture
def mine(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> Machine:
    return machine(sandbox, tmp_path, alice_token)


@contextmanager
def endpoint(mine: Machine, **environ: str) -> Iterator["subprocess.Popen[str]"]:
    """Runs the endpoint, and ends it at the end of the block."""
    with subprocess.Popen(  # noqa: S603 - the test's own command
        [str(BIN / "remit"), "endpoint"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**mine.environ, **environ},
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("answering at ")
            yield process
        finally:
            process.terminate()


def with_profile(mine: Machine) -> dict[str, str]:
    """Writes the AWS profile as docs/unmodified-tools.md does, and returns the environment that names it."""
    config = mine.folder / "aws-config"
    config.write_text(f"[profile reports]\ncredential_process = {BIN / 'remit'} credential-process --profile reports\n")
    return {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "reports"}


def keys_of(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stderr
    found: str = json.loads(done.stdout)["AccessKeyId"]
    return found


def states(mine: Machine) -> list[str]:
    """Returns what the endpoint holds, a line for each task."""
    return mine.remit("endpoint", "status").stdout.splitlines()[1:]


def test_a_profile_gives_boto3_its_credentials_without_an_endpoint(mine: Machine) -> None:
    done = mine.run(sys.executable, "-c", READS, environ=with_profile(mine))

    assert done.returncode == 0, done.stderr
    assert "Revenue 857" in done.stdout
    assert "AccessDenied" in done.stdout


def test_what_is_printed_is_what_aws_tools_read(mine: Machine) -> None:
    done = mine.remit(*BY_PROFILE)

    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found.keys() == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert found["Version"] == 1


def test_with_an_endpoint_every_call_gives_the_same_task(mine: Machine) -> None:
    with endpoint(mine):
        first = keys_of(mine.remit(*BY_PROFILE))
        by_options = mine.remit(
            "credential-process",
            "--purpose=summarise Q3",
            "--allow=s3.read_prefix prefix=2026/q3/ bucket=reports",
        )
        done = mine.run(sys.executable, "-c", READS, environ=with_profile(mine))
        held = states(mine)

    assert "Revenue 857" in done.stdout
    assert keys_of(by_options) == first
    assert len(held) == 1
    assert " live until " in held[0]


def test_fifty_processes_at_once_cause_one_call_to_sts(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    with (
        sts_relay(sandbox.aws.endpoint_url) as relay,
        own_gateway(sandbox, folder, {"endpoint_url": relay.url}) as gateway,
    ):
        mine = machine(sandbox, tmp_path, alice_token, target=gateway.mtls)
        with endpoint(mine), ThreadPoolExecutor(50) as pool:
            keys = {keys_of(done) for done in pool.map(lambda _: mine.remit(*BY_PROFILE), range(50))}
            held = states(mine)

    assert len(keys) == len(held) == len([name for name in relay.session_names if not name.startswith("remit-")]) == 1
    assert relay.session_names.count(held[0].split()[0]) == 1


def test_other_settings_are_another_task(mine: Machine, sandbox: Sandbox) -> None:
    with endpoint(mine):
        first = keys_of(mine.remit(*BY_PROFILE))
        token = sandbox.issuer.token("alice", client_id="copilot")
        second = keys_of(mine.remit(*BY_PROFILE, REMIT_SUBJECT_TOKEN=token))

    assert first != second


def test_an_endpoint_that_was_killed_leaves_the_way_straight_to_the_gateway(mine: Machine) -> None:
    with endpoint(mine) as process:
        first = keys_of(mine.remit(*BY_PROFILE))
        process.kill()
        process.wait(PATIENCE)

        second = keys_of(mine.remit(*BY_PROFILE))

    assert first != second
    with endpoint(mine):
        assert keys_of(mine.remit(*BY_PROFILE)) not in {first, second}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_endpoint_that_is_stopped_ends_its_tasks_and_leaves_no_socket(number: signal.Signals, mine: Machine) -> None:
    with endpoint(mine) as process:
        keys_of(mine.remit(*BY_PROFILE))
        task_id = states(mine)[0].split()[0]
        process.send_signal(number)
        code = process.wait(PATIENCE)

    assert code == 0
    assert list((mine.folder / "runtime" / "remit").iterdir()) == []
    again = mine.remit("end", task_id)
    assert again.stdout.startswith(f"ended {task_id}")


def test_it_starts_and_stops_in_the_background(mine: Machine) -> None:
    started = mine.remit("endpoint", "start")
    twice = mine.remit("endpoint", "start")
    first, second = keys_of(mine.remit(*BY_PROFILE)), keys_of(mine.remit(*BY_PROFILE))
    stopped = mine.remit("endpoint", "stop")
    gone = mine.remit("endpoint", "status")

    assert started.stdout.startswith("answering at ")
    assert twice.stderr.startswith("ENDPOINT_REFUSED: an endpoint answers at ")
    assert first == second
    assert stopped.stdout.startswith("stopped (process ")
    assert (gone.returncode, gone.stdout) == (84, "")
    assert "`remit endpoint start` starts it" in gone.stderr


def test_a_task_that_was_ended_is_followed_by_another(mine: Machine) -> None:
    with endpoint(mine):
        first = keys_of(mine.remit(*BY_PROFILE))
        ended = mine.remit("end", "--all")
        second = keys_of(mine.remit(*BY_PROFILE))

    assert ended.stdout.startswith("ended ")
    assert first != second


@pytest.mark.parametrize("way", ["by the endpoint", "straight"])
def test_a_refusal_is_told_alike_on_every_way_and_nothing_is_printed(way: str, mine: Machine) -> None:
    if way == "straight":
        done = mine.remit("credential-process", "--profile", "payroll")
    else:
        with endpoint(mine):
            done = mine.remit("credential-process", "--profile", "payroll")

    assert (done.returncode, done.stdout) == (80, "")
    assert done.stderr.startswith("CEILING_EXCEEDED: ")
    assert "  what to do: " in done.stderr


def test_a_task_that_its_own_agent_ended_elsewhere_is_followed_by_another(mine: Machine) -> None:
    ending = (
        "import sys; from remit.local.broker import gateway_of; from remit.local.wishes import Caller\n"
        "with gateway_of(Caller.of()) as gateway: gateway.end_task(sys.argv[1])"
    )
    with endpoint(mine):
        first = keys_of(mine.remit(*BY_PROFILE))
        task_id = states(mine)[0].split()[0]
        elsewhere = mine.run(sys.executable, "-c", ending, task_id)
        until(lambda: keys_of(mine.remit(*BY_PROFILE)) != first)
        held = states(mine)

    assert elsewhere.returncode == 0, elsewhere.stderr
    assert [line.split()[0] == task_id for line in held] == [False]


def test_a_task_that_somebody_revoked_is_told_until_it_is_ended(
    sandbox: Sandbox, tmp_path: Path, alice_token: str
) -> None:
    folder = tmp_path / "gateway"
    folder.mkdir()
    with own_gateway(sandbox, folder) as gateway:
        mine = machine(sandbox, tmp_path, alice_token, target=gateway.mtls)
        with endpoint(mine):
            first = keys_of(mine.remit(*BY_PROFILE))
            task_id = states(mine)[0].split()[0]

            asyncio.run(revoke(folder / "ledger.sqlite3", task_id))
            until(lambda: mine.remit(*BY_PROFILE).returncode != 0)
            told = mine.remit(*BY_PROFILE)
            held = states(mine)
            mine.remit("end", task_id)
            after = keys_of(mine.remit(*BY_PROFILE))

    assert (told.returncode, told.stdout) == (84, "")
    assert told.stderr.startswith(f"GRANT_NOT_LIVE: task {task_id} gives no credentials any more")
    assert "find out from the security team why it was revoked" in told.stderr
    assert f"`remit end {task_id}`" in told.stderr
    assert held[0].startswith(f"{task_id}  over")
    assert after != first


def without_its_id(told: str) -> list[str]:
    """Returns the lines of what was told without the id of the request, of which each call has its own."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", told).splitlines()


def test_a_gateway_that_is_down_is_told(mine: Machine) -> None:
    with endpoint(mine, REMIT_GATEWAY="127.0.0.1:1"):
        by_endpoint = mine.remit(*BY_PROFILE, REMIT_GATEWAY="127.0.0.1:1")
    straight = mine.remit(*BY_PROFILE, REMIT_GATEWAY="127.0.0.1:1")

    assert (by_endpoint.returncode, straight.returncode) == (83, 83)
    assert "nothing listens at port 1 there" in straight.stderr
    assert without_its_id(by_endpoint.stderr)[1:] == without_its_id(straight.stderr)[1:]


@pytest.mark.parametrize("kind", ["a link", "open to others", "no socket"])
def test_a_place_that_could_be_anothers_is_refused_by_both_sides(kind: str, mine: Machine) -> None:
    folder = mine.folder / "runtime" / "remit"
    if kind == "a link":
        (mine.folder / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(mine.folder / "elsewhere")
    else:
        folder.mkdir(mode=0o700)
        (folder / "endpoint.sock").write_text("")
        folder.chmod(0o755 if kind == "open to others" else 0o700)

    asks = mine.remit(*BY_PROFILE)
    serves = mine.remit("endpoint")

    assert (asks.returncode, asks.stdout) == (85, "")
    assert asks.stderr.startswith("ENDPOINT_REFUSED: ")
    assert serves.returncode == 85
    assert serves.stderr.startswith("ENDPOINT_REFUSED: ")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user for a moment")
def test_another_user_gets_nothing_from_the_socket(mine: Machine) -> None:
    program = (
        "import os, socket, sys\n"
        "connection = socket.socket(socket.AF_UNIX)\n"
        "connection.connect(sys.argv[1])\n"  # as root, whom no folder's mode stops
        "os.setuid(65534)\n"
        "other = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        "    other.connect(sys.argv[1])\n"
        "except PermissionError:\n"
        "    print('refused')\n"
    )
    path = mine.folder / "runtime" / "remit" / "endpoint.sock"
    with endpoint(mine):
        done = mine.run(sys.executable, "-c", program, str(path))

    assert done.stdout == "refused\n", done.stderr


def test_an_endpoint_of_another_user_is_not_asked(mine: Machine) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to make another user's socket")
    folder = mine.folder / "runtime" / "remit"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "endpoint.sock"))
        listening.listen()
        os.chown(folder / "endpoint.sock", 65534, 65534)

        done = mine.remit(*BY_PROFILE)

    assert done.returncode == 85
    assert "another user's" in done.stderr


def test_no_secret_shows_in_arguments_or_on_disk(mine: Machine, alice_token: str) -> None:
    with endpoint(mine) as process:
        secret = json.loads(mine.remit(*BY_PROFILE, REMIT_SUBJECT_TOKEN=alice_token).stdout)["SecretAccessKey"]
        told = Path(f"/proc/{process.pid}/cmdline").read_bytes() + Path(f"/proc/{process.pid}/environ").read_bytes()
    written = [file for file in mine.folder.rglob("*") if file.is_file() and file.name != "token"]

    assert alice_token.encode() not in told
    assert all(secret.encode() not in file.read_bytes() for file in written)
