"""The Go client: each row of the behaviour table against the live sandbox, its own tests, its README's quickstart."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.canaries.abroad.showing import Shown, golang, shown_by
from tests.e2e.canaries.table.kinds import KINDS
from tests.e2e.gateways import own_gateway
from tests.e2e.go_tools import CLIENT, GoTests, go, go_test
from tests.e2e.told_by_python import platform_cases, printed_errors
from tests.e2e.watched import plain_environment
from tests.policy_revisions import sample_with
from tests.workload.github_endpoint import github_endpoint
from tests.workload.workload_api_server import WorkloadApi, workload_api, x509_of

from remit_sandbox.configuration import AGENTS, sample_policies
from remit_sandbox.sandbox import Sandbox

pytestmark = pytest.mark.timeout(600)  # a cold build, and a lease of 30 seconds
TABLE = Path(__file__).resolve().parents[1] / "clients" / "behaviours.json"
ROWS = [row["id"] for row in json.loads(TABLE.read_text())]
ENTITLEMENTS = "remit/catalog/entitlements/data.yaml"


def short_lived(folder: Path) -> Path:
    """Writes the sample policy, by which credentials for reading reports live for 24 seconds."""
    text = (sample_policies() / ENTITLEMENTS).read_text()
    shorter, count = re.subn(r"(?s)(reports-reader:.*?max_credential_seconds: )3600", r"\g<1>24", text, count=1)
    assert count
    return sample_with(folder, "short lives", {ENTITLEMENTS: shorter})


def described(sandbox: Sandbox, short: str) -> dict[str, object]:
    """Returns what the Go tests are told of the sandbox."""
    issuer, then = sandbox.issuer, int(time.time()) - 3600
    alice = {who: issuer.token("alice", client_id=who) for who in ("copilot", "crawler", "reporter")}
    return {
        "mtls": sandbox.mtls,
        "bearer": sandbox.bearer,
        "short": short,
        "ca_file": str(sandbox.authority.bundle_path),
        "aws": sandbox.aws.endpoint_url,
        "agents": {
            name: {"certificate": str(pair.certificate_path), "key": str(pair.key_path)}
            for name, pair in sandbox.agents.items()
        },
        "tokens": {
            **alice,
            "expired": issuer.token("alice", client_id="copilot", iat=then, auth_time=then, exp=then + 300),
            "agent": issuer.agent_token("reporter"),
            "security": issuer.operator_token("bob"),
        },
        "table": str(TABLE),
    }


@pytest.fixture(scope="module")
def proven(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoTests]:
    folder = tmp_path_factory.mktemp("go")
    bundle = short_lived(folder / "policies")
    spiffe_id = AGENTS["copilot"]
    api = WorkloadApi(held=(x509_of(sandbox.authority, spiffe_id, sandbox.agents["copilot"]),))
    with (
        github_endpoint() as github,
        workload_api(folder, api),
        own_gateway(sandbox, folder, {"bundle": str(bundle)}) as short,
    ):
        told = {"errors": printed_errors(), "platforms": platform_cases(folder, github.url)}
        live = folder / "live.json"
        live.touch(0o600)
        live.write_text(json.dumps(described(sandbox, short.mtls) | told))
        yield go_test(CLIENT / "behaviours", {"REMIT_LIVE": str(live), "SPIFFE_ENDPOINT_SOCKET": api.address})


@pytest.fixture(scope="module")
def shown(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """A program shows all that it has, and crashes."""
    folder = tmp_path_factory.mktemp("shown")
    return shown_by(golang(folder), sandbox, folder)


@pytest.mark.parametrize("row", ROWS)
def test_the_go_client_proves(row: str, proven: GoTests) -> None:
    assert proven.outcomes.get(f"TestBehaviour/{row}") == "pass", proven.output


def test_nothing_else_of_the_go_clients_behaviours_failed(proven: GoTests) -> None:
    assert {name for name, outcome in proven.outcomes.items() if outcome != "pass"} == set()
    assert proven.code == 0, proven.output


def test_the_go_clients_own_tests_pass() -> None:
    done = go_test(CLIENT)

    assert done.code == 0, done.output
    assert set(done.outcomes.values()) == {"pass"}, done.output


def test_whatever_is_shown_logged_or_panics_shows_no_secret(shown: Shown) -> None:
    assert all(shown.texts.values())
    assert shown.canaries.found_in(shown.texts) == []


def test_a_secret_that_is_shown_would_be_found(shown: Shown) -> None:
    assert shown.not_found() == set()
    assert shown.canaries.kinds == {kind.name for kind in KINDS if kind.abroad}


def test_the_go_quickstart_prints_the_object(sandbox: Sandbox, alice_token: str, tmp_path: Path) -> None:
    (quickstart,) = re.findall(r"```go\n(package main.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    assert quickstart == (CLIENT / "behaviours" / "quickstart" / "main.go").read_text()
    assert "gateway.example.com:8443" in quickstart
    program = tmp_path / "main.go"
    program.write_text(quickstart.replace("gateway.example.com:8443", sandbox.mtls))
    pair = sandbox.agents["copilot"]
    built = go(
        "build", "-buildvcs=false", "-o", str(tmp_path / "quickstart"), str(program), folder=CLIENT / "behaviours"
    )
    assert built.returncode == 0, built.stderr
    shutil.copy(pair.certificate_path, tmp_path / "agent.pem")
    shutil.copy(pair.key_path, tmp_path / "agent.key")
    # In place of a public authority and of AWS itself, which the quickstart takes for granted.
    instead = {"SSL_CERT_FILE": str(sandbox.authority.bundle_path), "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url}

    done = subprocess.run(  # noqa: S603 - the README's own program
        [tmp_path / "quickstart"],
        cwd=tmp_path,
        env=plain_environment({"TOKEN": alice_token, **instead}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Revenue 857" in done.stdout
