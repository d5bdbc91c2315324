"""The way that AWS tools call again and again: what it reads, and how little it imports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.local.answering import answering

from remit.cli.short_way import read, wish_request

HEAVY = {"grpc", "google.protobuf", "typer", "click", "rich", "asyncio", "logging", "dataclasses", "pathlib", "ssl"}
PROGRAM = """
import json, sys
sys.argv = ["remit", "credential-process", "--profile", "reports"]
from remit.cli.__main__ import main
code = main()
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


def test_it_imports_nothing_that_takes_time(tmp_path: Path) -> None:
    with answering(tmp_path, lambda request: {"AccessKeyId": request["wish"]["profile"]}) as path:
        done = subprocess.run(  # noqa: S603 - this test's own program
            [sys.executable, "-c", PROGRAM],
            env={"REMIT_SOCKET": str(path), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    found = json.loads(done.stderr)
    own = {name for name in found["modules"] if name.partition(".")[0] == "remit"}
    assert json.loads(done.stdout) == {"AccessKeyId": "reports"}
    assert HEAVY & set(found["modules"]) == set()
    assert own == {
        "remit",
        "remit._version",
        "remit.cli",
        "remit.cli.__main__",
        "remit.cli.short_way",
        "remit.local",
        "remit.local.sharing",
        "remit.local.sharing.asking",
        "remit.local.sharing.place",
    }


def test_every_option_is_read() -> None:
    words = [
        *("--profile", "reports", "--purpose=why", "--allow", "read s3://a/*", "--allow=read s3://b/*"),
        *("--label", "team=finance=x", "--narrow", "--duration", "15m", "--region", "eu-central-1"),
        *("--request-id", "r", "--socket", "/s", "--handle", "h"),
    ]

    assert read(words) == {
        "profile": "reports",
        "purpose": "why",
        "allow": ["read s3://a/*", "read s3://b/*"],
        "labels": {"team": "finance=x"},
        "narrow": True,
        "duration": "15m",
        "region": "eu-central-1",
        "request_id": "r",
        "socket": "/s",
        "handle": "h",
    }


def test_a_file_of_an_intent_is_read_where_the_command_runs(tmp_path: Path) -> None:
    file = tmp_path / "intent.json"
    file.write_text('{"type": "remit_task"}')

    values = read(["--allow", f"@{file}"])

    assert values is not None
    assert values["allow"] == ['{"type": "remit_task"}']


def test_paths_in_variables_are_meant_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMIT_CONFIG", "client.toml")
    monkeypatch.setenv("REMIT_SUBJECT_TOKEN_FILE", "../token")
    monkeypatch.setenv("REMIT_GATEWAY", "127.0.0.1:8443")

    environ = wish_request({})["environ"]

    assert environ["REMIT_CONFIG"] == str(tmp_path / "client.toml")
    assert environ["REMIT_SUBJECT_TOKEN_FILE"] == str(tmp_path.parent / "token")
    assert environ["REMIT_GATEWAY"] == "127.0.0.1:8443"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--profile"],
        ["--profile", ""],
        ["--profile=a", "--profile=b"],
        ["--porfile", "a"],
        ["-p", "a"],
        ["reports"],
        ["--label", "team"],
        ["--label", "=x"],
        ["--allow", "@/no/such/file"],
    ],
)
def test_what_it_does_not_understand_is_left_to_the_command_line_proper(words: list[str]) -> None:
    assert read(words) is None
