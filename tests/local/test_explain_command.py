"""`remit explain` as somebody types it, or pipes into it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.local.test_explaining import LIVE, PUT, TASK, USER

from remit.grant import Credentials
from remit.local.container import ContainerEndpoint
from remit.local.explaining.surroundings import surrounding_task
from remit.local.sharing.serving import SocketServer

REQUEST = "0b5e2c1a-6f4e-4f57-9d3e-2f4f5f1c9a77"
FAILURE = {
    "time": "2026-11-30T03:00:00+00:00",
    "handle": "0123456789abcdef",
    "purpose": "summarise Q3",
    "request_id": REQUEST,
    "reason": "CEILING_EXCEEDED",
    "message": "s3:PutObject is outside the ceiling",
    "text": "CEILING_EXCEEDED: s3:PutObject is outside the ceiling\n  what to do: ask for less",
    "exit": 80,
}


def explain(*what: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Runs the command; in a process of its own, because pytest lets this one connect to no socket of a folder."""
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "remit.cli", "explain", *what],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "endpoint" / "endpoint.sock"
    monkeypatch.setenv("REMIT_SOCKET", str(place))
    return place


@pytest.fixture
def endpoint(socket: Path) -> Iterator[None]:
    """What the endpoint answers; the broker behind the real one is tested where it is."""
    task = {name: getattr(LIVE, name) for name in ("handle", "task_id", "purpose", "session_policy")}

    def answer(request: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        return {"status": {"tasks": [task]}, "failures": {"failures": [FAILURE]}}[request["op"]]

    with SocketServer(socket, answer):
        yield


@pytest.mark.usefixtures("socket")
def test_a_reason_is_explained() -> None:
    found = explain("CEILING_EXCEEDED")

    assert found.returncode == 0
    assert "CEILING_EXCEEDED: more was asked for than may be issued" in found.stdout
    assert "what to do: ask for less, or pass narrow=True" in found.stdout
    assert "what to do: add --narrow" in found.stdout


@pytest.mark.usefixtures("socket")
def test_an_error_of_remit_is_explained_by_its_reason() -> None:
    found = explain(stdin="CEILING_EXCEEDED: s3:PutObject on x by ceiling\n  what to do: ...\n")

    assert found.returncode == 0
    assert "CEILING_EXCEEDED: more was asked for" in found.stdout


@pytest.mark.usefixtures("endpoint")
def test_an_aws_error_that_is_piped_in_is_compared_with_the_live_task() -> None:
    text = (
        f'{PUT}{USER} is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::reports/x" '
        "because no session policy allows the s3:PutObject action"
    )

    found = explain(stdin=text)

    assert found.returncode == 0, found.stderr
    assert "NOT_ALLOWED: AWS refused s3:PutObject on arn:aws:s3:::reports/x" in found.stdout
    assert "--allow 's3:PutObject=arn:aws:s3:::reports/x'" in found.stdout
    assert f"the task {TASK} may: s3:GetObject on arn:aws:s3:::reports/2026/q3/*" in found.stdout


@pytest.mark.usefixtures("endpoint")
def test_a_task_is_explained_by_its_id_its_handle_and_its_grant() -> None:
    told = {explain(name).stdout for name in (TASK, LIVE.handle, f"tasks/{TASK}/grants/{'a' * 26}")}

    (text,) = told
    assert f"LIVE: the task {TASK} is live on this machine: summarise Q3" in text


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("what", [[], [REQUEST.upper()]])
def test_a_failure_that_the_endpoint_remembers_is_explained(what: list[str]) -> None:
    found = explain("--json", *what)

    told = json.loads(found.stdout)
    assert told["reason"] == "CEILING_EXCEEDED"
    assert told["what"] == "s3:PutObject is outside the ceiling"
    assert "what to do: ask for less" in told["more"]


@pytest.mark.usefixtures("socket")
@pytest.mark.parametrize(
    ("what", "exit_code", "told"),
    [
        ("CEILING_EXCEDED", 85, "the nearest reason is CEILING_EXCEEDED"),
        ("why oh why", 85, "give a reason (CEILING_EXCEEDED), the text of an AWS or Remit error"),
        ("", 86, "remembers no failure"),
        (TASK, 86, "no task with this id is live"),
    ],
)
def test_what_cannot_be_explained_says_what_can(what: str, exit_code: int, told: str) -> None:
    found = explain(*([what] if what else []), stdin="")

    assert found.returncode == exit_code
    assert told in found.stderr


def never() -> Credentials:
    raise AssertionError("nobody asked for credentials")


def test_the_task_around_a_command_is_found_at_its_own_endpoint_with_its_token_only() -> None:
    task = {"task_id": TASK, "session_policy": LIVE.session_policy}

    with ContainerEndpoint(never, lambda: {**task}) as endpoint:
        environ = endpoint.environment()
        other = {**environ, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "guessed"}
        found = surrounding_task(environ)
        nothing = [surrounding_task(other), surrounding_task({})]

    assert found == [task]
    assert [*nothing, surrounding_task(environ)] == [[], [], []]


@pytest.mark.parametrize("uri", ["http://evil.example/credentials", "https://127.0.0.1/", "http://127.0.0.2:1/", "x"])
def test_the_token_is_shown_to_no_other_place(uri: str) -> None:
    environ = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret"}

    assert surrounding_task(environ) == []
