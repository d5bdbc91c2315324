"""`remit whoami` at a gateway that answers what a test tells it to: what is known is told, and why the rest is not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tests.scripted_gateway import AGENT, SUBJECT_TOKEN, ScriptedGateway, scripted_gateway

from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.errors import RemitError as ServerError

ALONE = messages.GetCallerIdentityResponse(actor=AGENT, policy_revision="a" * 64)
WHOLE = messages.GetCallerIdentityResponse(
    actor=AGENT,
    subject=types_pb2.Subject(issuer="https://idp.example.com", id="alice"),
    groups=["analysts"],
    subject_token_expire_time=Timestamp(seconds=4_000_000_000),
    policy_revision="a" * 64,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


def whoami(server: ScriptedGateway, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    pair = server.authority.issue_client(AGENT)
    own = {
        "REMIT_GATEWAY": server.mtls,
        "REMIT_CA_FILE": str(server.authority.bundle_path),
        "REMIT_CERTIFICATE_FILE": str(pair.certificate_path),
        "REMIT_KEY_FILE": str(pair.key_path),
        "REMIT_SUBJECT_TOKEN": SUBJECT_TOKEN,
        "XDG_CONFIG_HOME": str(folder / "none"),
        "REMIT_SOCKET": str(folder / "none" / "socket"),
    }
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "remit.cli", "whoami", *arguments],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_agent_user_and_policy_are_told(server: ScriptedGateway, tmp_path: Path) -> None:
    server.identities.extend([WHOLE, WHOLE])

    told, found = whoami(server, tmp_path), json.loads(whoami(server, tmp_path, "--json").stdout)

    assert told.returncode == 0, told.stderr
    assert f"agent      {AGENT}" in told.stdout
    assert "user       alice at https://idp.example.com in analysts, token until 2096-10-02" in told.stdout
    assert found["identity"]["subject"] == {"issuer": "https://idp.example.com", "id": "alice"}
    assert SUBJECT_TOKEN not in told.stdout + told.stderr


def test_a_rejected_token_leaves_the_agent_known(server: ScriptedGateway, tmp_path: Path) -> None:
    server.identities.extend([ServerError(Reason.SUBJECT_TOKEN_REJECTED, "it is over"), ALONE])

    told = whoami(server, tmp_path)

    assert told.returncode == 82
    assert f"agent      {AGENT}" in told.stdout
    assert "user       nobody: no token of a user" in told.stdout
    assert "SUBJECT_TOKEN_REJECTED: it is over" in told.stderr


def test_an_agent_that_is_not_let_in_is_told_so_once(server: ScriptedGateway, tmp_path: Path) -> None:
    server.identities.append(ServerError(Reason.ACTOR_REJECTED, "unknown agent"))

    told = whoami(server, tmp_path)

    assert told.returncode == 87
    assert "agent      the gateway did not say" in told.stdout
    assert told.stderr.count("ACTOR_REJECTED") == 1


def test_a_gateway_out_of_order_has_its_own_exit_code(server: ScriptedGateway, tmp_path: Path) -> None:
    server.identities.extend([Outage(Reason.ISSUER_UNAVAILABLE, "no keys")] * 20)

    told = whoami(server, tmp_path, "--json")

    assert told.returncode == 83
    assert [failure["reason"] for failure in json.loads(told.stdout)["failures"]] == ["ISSUER_UNAVAILABLE"]


def failing(folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    file = folder / "client.toml"
    file.write_text('[gateway]\ntarget = "gateway.example.com:8443"\nbearer = "env:TOKEN"\n')
    return subprocess.run(
        [sys.executable, "-m", "remit.cli", "whoami"],
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        | {"REMIT_CONFIG": str(file), "TOKEN": "a.b.c"}
        | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "value"), [("REMIT_GATEWAY", "https://gateway:1/"), ("REMIT_CA_FILE", "/nowhere/ca.pem")]
)
def test_a_variable_that_is_wrong_is_named_and_not_only_the_file(name: str, value: str, tmp_path: Path) -> None:
    told = failing(tmp_path, **{name: value})

    assert told.returncode == 85
    assert f"what to do: correct {name} or [gateway] in {tmp_path / 'client.toml'}" in told.stderr


def test_where_no_gateway_is_named_none_is_said_to_be_silent(tmp_path: Path) -> None:
    told = failing(tmp_path, REMIT_CONFIG="", XDG_CONFIG_HOME=str(tmp_path / "empty"))

    assert told.returncode == 85
    assert "agent      no gateway was asked" in told.stdout
