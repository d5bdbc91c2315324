"""The whole gateway with `engine = "opa"` and the real OPA beside it, as `deploy/opa/` shows it."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.gateways import Q3, OwnGateway, changed, client, own_gateway
from tests.e2e.test_activation import deciding_at
from tests.e2e.watched import BIN, plain_environment
from tests.opa_server import OpaProcess, free_port, opa_server
from tests.policy_revisions import published_and_activated, sample_with

import remit
from remit_sandbox.configuration import sample_policies
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import events

SOON = timedelta(seconds=1)
STARTED = "gateway_started"
CONNECTIONS = 16  # the chance that one worker gets all of them is one in thirty thousand
DELETE = remit.Permission(actions=["s3:DeleteObject"], resources=["arn:aws:s3:::production/*"])


def opa_table(opa: OpaProcess) -> dict[str, object]:
    """Returns `[policy.opa]` for this OPA; the tokens are in files of its folder."""
    token_file = opa.folder / "gateway-token"
    token_file.write_text(opa.token)
    token_file.chmod(0o600)
    return {
        "url": opa.url,
        "bundle_address": opa.bundle_address,
        "token_file": str(token_file),
        "bundle_token_file": str(opa.folder / "bundle-token"),
        "start_timeout_seconds": 60,
    }


@contextmanager
def gateway_beside(opa: OpaProcess, sandbox: Sandbox, folder: Path, *options: str) -> Iterator[OwnGateway]:
    """Runs a gateway that decides through this OPA."""
    more = {"policy": {"engine": "opa", "decision_timeout_milliseconds": 5000}, "policy.opa": opa_table(opa)}
    with own_gateway(sandbox, folder, None, more, options) as gateway:
        yield gateway


def preview_of_q3(gateway: remit.Gateway, token: str) -> object:
    """Returns what the gateway would do, asking again as it says while OPA comes back."""
    for _ in range(60):
        try:
            return gateway.preview("summarise Q3", subject_token=token, allow=Q3)
        except remit.Unavailable as unavailable:
            time.sleep((unavailable.retry_after or SOON).total_seconds())
    return None


def test_it_issues_and_refuses_and_survives_opa(sandbox: Sandbox, alice_token: str, tmp_path: Path) -> None:
    with (
        opa_server(tmp_path / "opa", on_socket=True) as opa,
        gateway_beside(opa, sandbox, tmp_path) as own,
        client(sandbox, own.mtls) as gateway,
    ):
        with gateway.task("summarise Q3", subject_token=alice_token, allow=Q3) as task:
            s3 = task.boto3_session().client("s3", endpoint_url=sandbox.aws.endpoint_url)
            text = s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()
        refused = gateway.preview("clean up", subject_token=alice_token, allow=DELETE)

        opa.kill()
        with pytest.raises(remit.Unavailable) as raised:
            gateway.preview("summarise Q3", subject_token=alice_token, allow=Q3)
        opa.start()
        again = preview_of_q3(gateway, alice_token)

    assert text
    assert isinstance(refused, remit.WouldRefuse)
    assert isinstance(again, remit.WouldIssue)
    assert raised.value.reason == "POLICY_UNAVAILABLE"
    assert "opa gave no answer that may be used" in own.log_path.read_text()
    assert opa.token not in own.log_path.read_text()
    assert "credentials_issued" in [event.kind for event in events(tmp_path / "ledger.sqlite3")]


def test_every_worker_of_a_gateway_serves_and_asks_one_opa(sandbox: Sandbox, alice_token: str, tmp_path: Path) -> None:
    with opa_server(tmp_path / "opa") as opa, gateway_beside(opa, sandbox, tmp_path, "--workers", "2") as own:
        answers = []
        for _ in range(CONNECTIONS):
            with client(sandbox, own.mtls) as gateway:
                answers.append(gateway.preview("summarise Q3", subject_token=alice_token, allow=Q3))

    assert [type(answer) for answer in answers] == [remit.WouldIssue] * CONNECTIONS
    starts = [json.loads(event.body_text) for event in events(tmp_path / "ledger.sqlite3") if event.kind == STARTED]
    assert sorted(start["worker"] for start in starts) == [1, 2]


def test_opa_decides_by_what_is_activated_and_by_what_is_gone_back_to(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    ledger, decided = tmp_path / "ledger.sqlite3", []
    with opa_server(tmp_path / "opa") as opa, gateway_beside(opa, sandbox, tmp_path, "--workers", "2") as own:
        (new,) = asyncio.run(published_and_activated(ledger, sample_with(tmp_path / "new", "another revision")))
        decided.append(deciding_at(sandbox, own.mtls, alice_token, new))
        (old,) = asyncio.run(published_and_activated(ledger, sample_policies()))
        decided.append(deciding_at(sandbox, own.mtls, alice_token, old))

    assert decided == [new, old]


def test_without_an_opa_the_gateway_does_not_start_and_says_what_to_do(sandbox: Sandbox, tmp_path: Path) -> None:
    config = tmp_path / "remit.toml"
    url = f"http://127.0.0.1:{free_port()}"
    table = {"url": url, "bundle_address": f"127.0.0.1:{free_port()}", "start_timeout_seconds": 1}
    more: dict[str, dict[str, object]] = {"policy": {"engine": "opa"}, "policy.opa": dict(table)}
    values = {"address": "127.0.0.1:0", "url": f"sqlite:///{tmp_path / 'ledger.sqlite3'}"}
    config.write_text(changed(sandbox, values, more))
    config.chmod(0o600)

    done = subprocess.run(  # noqa: S603 - the program under test
        [str(BIN / "remit-server"), "serve", "--config", str(config)],
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert f"OPA at {url} cannot decide" in done.stderr
    assert "docs/policy-engines.md" in done.stderr
    assert "Traceback" not in done.stderr
    assert STARTED not in {event.kind for event in events(tmp_path / "ledger.sqlite3")}
