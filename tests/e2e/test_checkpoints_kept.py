"""A gateway that keeps checkpoints, and a verification that relies on them."""

import subprocess
import time
from pathlib import Path

from tests.e2e.gateways import Q3, client, own_gateway
from typer.testing import CliRunner

from remit_sandbox.sandbox import Sandbox
from remit_server.cli.main import app

PATIENCE_SECONDS = 60.0


def test_a_gateway_keeps_checkpoints_that_its_trail_is_verified_by(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    key, public, kept = tmp_path / "checkpoints.key", tmp_path / "checkpoints.pub", tmp_path / "kept.jsonl"
    for command in (
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)],
        ["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603 - as docs/audit.md says
    key.chmod(0o600)
    more = {"checkpoints": {"file": str(kept), "signing_key_file": str(key), "every_records": 1}}
    with own_gateway(sandbox, tmp_path, more=more) as gateway:
        with client(sandbox, gateway.mtls) as agent, agent.task("Q3", subject_token=alice_token, allow=Q3):
            pass
        until = time.monotonic() + PATIENCE_SECONDS
        while not kept.exists() or "\n" not in kept.read_text():
            assert time.monotonic() < until, (tmp_path / "gateway.log").read_text()
            time.sleep(0.2)

    verified = CliRunner().invoke(
        app,
        [
            *("audit", "verify", "-d", str(tmp_path / "ledger.sqlite3")),
            *("--checkpoints", str(kept), "--public-key", str(public)),
        ],
    )

    assert verified.exit_code == 0, verified.output
    assert "checkpoints name, up to record" in verified.stdout
