"""Somebody signs in at the sandbox's issuer, asks who they are, and works: no token is written down by hand."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.e2e.machines import BIN, Machine, machine
from tests.visitor import Visitor

from remit.local.login.device import Prompt
from remit_sandbox.sandbox import Sandbox

READ = ("--purpose", "summarise Q3", "--allow", "read s3://reports/2026/q3/*", "--")
SCRIPT = """
import boto3, sys
s3 = boto3.client("s3")
print(len(s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()) > 0)
sys.stdout.flush()
s3.put_object(Bucket="reports", Key="2026/q3/mine.md", Body=b"x")
"""


@pytest.fixture
def laptop(sandbox: Sandbox, tmp_path: Path) -> Machine:
    """The machine of somebody who will sign in."""
    found = machine(sandbox, tmp_path, "")
    file = tmp_path / "client.toml"
    login = (
        f"[login]\nissuer = {json.dumps(sandbox.issuer.url)}\nclient_id = 'copilot'\ntoken = 'access_token'\n"
        f"ca_file = {json.dumps(str(sandbox.authority.bundle_path))}\n"
    )
    file.write_text(re.sub(r"\[subject\]\ntoken = .*\n", login, file.read_text()))
    (tmp_path / "token").unlink()
    return found


def signs_in(laptop: Machine, sandbox: Sandbox, user: str) -> str:
    """Runs `remit login --device` and enters its code; returns what the command says."""
    command = [str(BIN / "remit"), "login", "--device", "--no-keyring"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, env=laptop.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        shown = ""
        while not (page := re.search(r"(https://\S+/device)\?user_code=(\S+)", shown)):
            line = process.stderr.readline()
            assert line, shown
            shown += line
        Visitor(sandbox.issuer, sandbox.authority, user=user).enters(Prompt(page[1], page[0], page[2]))
        told, more = process.communicate(timeout=60)
    assert process.returncode == 0, more
    return told


def test_somebody_signs_in_asks_who_they_are_works_and_signs_out(laptop: Machine, sandbox: Sandbox) -> None:
    before = laptop.remit("run", *READ, "true")
    told = signs_in(laptop, sandbox, "alice")
    who = json.loads(laptop.remit("whoami", "--json").stdout)
    work = laptop.remit("run", *READ, "python", "-c", SCRIPT)
    laptop.remit("logout")
    after = laptop.remit("run", *READ, "true")

    assert "Signed in as alice" in told
    assert (who["identity"]["subject"]["id"], who["login"]["subject"]) == ("alice", "alice")
    assert who["identity"]["groups"] == ["analysts", "engineers"]
    assert who["failures"] == []
    assert work.stdout.splitlines()[0] == "True", work.stderr
    assert "AccessDenied" in work.stderr
    for refused in (before, after):
        assert refused.returncode == 82
        assert "LOGIN_NEEDED: nobody is signed in on this machine" in refused.stderr
        assert "sign in: remit login" in refused.stderr


def test_what_aws_refused_is_explained_within_the_run(laptop: Machine, sandbox: Sandbox) -> None:
    signs_in(laptop, sandbox, "alice")
    shell = f"python -c '{SCRIPT}' 2>&1 | remit explain"

    found = laptop.remit("run", *READ, "sh", "-c", shell, PATH=f"{BIN}:{laptop.environ['PATH']}")

    assert "NOT_ALLOWED: AWS refused s3:PutObject" in found.stdout, found.stdout + found.stderr
    assert "--allow 's3:PutObject=" in found.stdout
    assert "may: s3:GetObject on arn:aws:s3:::reports/2026/q3/*" in found.stdout


def test_a_request_is_explained_by_the_gateway(laptop: Machine, sandbox: Sandbox) -> None:
    signs_in(laptop, sandbox, "alice")
    refused = laptop.remit("run", "--purpose", "p", "--allow", "s3:GetObject=arn:aws:s3:::payroll/*", "--", "true")
    request = re.search(r"request id: (\S+)", refused.stderr)
    assert request is not None, refused.stderr

    found = laptop.remit("explain", request[1])

    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0].startswith(refused.stderr.splitlines()[0].partition(":")[0])
    assert "why: " in found.stdout


def test_who_one_is_is_told_as_far_as_it_is_known(laptop: Machine) -> None:
    found = laptop.remit("whoami")
    away = laptop.remit("whoami", "--json", REMIT_GATEWAY="127.0.0.1:9")

    assert found.returncode == 82
    assert "agent      spiffe://" in found.stdout
    assert "user       nobody: no token of a user" in found.stdout
    assert "tasks      no endpoint runs" in found.stdout
    assert "LOGIN_NEEDED" in found.stderr
    assert json.loads(away.stdout)["identity"] is None
    assert {failure["reason"] for failure in json.loads(away.stdout)["failures"]} == {"LOGIN_NEEDED", "UNAVAILABLE"}


def test_what_was_begun_for_one_person_is_given_to_nobody_else(laptop: Machine, sandbox: Sandbox) -> None:
    signs_in(laptop, sandbox, "alice")
    assert laptop.remit("endpoint", "start").returncode == 0
    try:
        hers = laptop.remit("credential-process", "--profile", "reports")
        laptop.remit("logout")
        nobodys = laptop.remit("credential-process", "--profile", "reports")
        signs_in(laptop, sandbox, "bob")
        his = laptop.remit("credential-process", "--profile", "reports")
    finally:
        laptop.remit("endpoint", "stop")

    assert json.loads(hers.stdout)["AccessKeyId"]
    assert (nobodys.returncode, nobodys.stdout) == (82, "")
    assert "LOGIN_NEEDED" in nobodys.stderr
    assert json.loads(hers.stdout)["AccessKeyId"] not in his.stdout
